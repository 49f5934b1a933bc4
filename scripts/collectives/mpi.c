// Joins the processes of an MPI job for vicreg train --collectives, by the interface in
// models/ort/vicreg_group.h. Works with any MPI of version 3 or later:
//
//   mpicc -O2 -shared -fPIC -I models/ort -o libvicreg_mpi.so scripts/collectives/mpi.c
//   mpirun -n 4 --bind-to none vicreg train --data photos --out runs/photos --threads 8 --collectives ./libvicreg_mpi.so
//
// --bind-to none prevents Open MPI from binding each process to a core; --threads is the number of
// threads per process. Sums must be rounded identically in every process, as MPI advises and the
// common implementations do; vicreg compares the weights at each checkpoint and stops if they differ.
#include <mpi.h>
#include <vicreg_group.h>

static char message[MPI_MAX_ERROR_STRING];

static const char *said(int code) {
  int length = 0;
  if (code == MPI_SUCCESS) return NULL;
  return MPI_Error_string(code, message, &length) == MPI_SUCCESS ? message : "MPI fails";
}

// Calls are serialised, but may come from any thread.
const char *vicreg_group_open(int *rank, int *size) {
  int provided = 0, code = MPI_Init_thread(NULL, NULL, MPI_THREAD_SERIALIZED, &provided);
  if (code != MPI_SUCCESS) return said(code);
  if (provided < MPI_THREAD_SERIALIZED) return "this MPI may be called from one thread only";
  MPI_Comm_set_errhandler(MPI_COMM_WORLD, MPI_ERRORS_RETURN);
  code = MPI_Comm_rank(MPI_COMM_WORLD, rank);
  return said(code != MPI_SUCCESS ? code : MPI_Comm_size(MPI_COMM_WORLD, size));
}

// MPI counts are of type int.
enum { MOST = 1 << 30 };

const char *vicreg_group_all_reduce(float *values, size_t count) {
  for (size_t n; count > 0; values += n, count -= n) {
    n = count < MOST ? count : MOST;
    int code = MPI_Allreduce(MPI_IN_PLACE, values, (int)n, MPI_FLOAT, MPI_SUM, MPI_COMM_WORLD);
    if (code != MPI_SUCCESS) return said(code);
  }
  return NULL;
}

const char *vicreg_group_all_gather(const float *mine, size_t count, float *all) {
  if (count > MOST) return "more than 2^30 values to gather from a process";
  return said(MPI_Allgather(mine, (int)count, MPI_FLOAT, all, (int)count, MPI_FLOAT, MPI_COMM_WORLD));
}

void vicreg_group_close(void) { MPI_Finalize(); }
