// The interface of a library that joins processes which train one model together: vicreg train
// --collectives LIBRARY. scripts/collectives/mpi.c implements it over MPI.
//
// Values are in host memory, aligned as float, and there is at least one; infinities and NaNs may
// be among them, and are passed on. A library that works on a device copies them there and
// chooses the device.
//
// Every function returns NULL, or a sentence that says what went wrong, which stays valid; after
// that none is called. Calls come one after the other, but from any thread. All processes make
// the same calls, with the same sizes, in the same order, and each waits for the others. A
// process that fails exits with a non-zero code and without vicreg_group_close; ending the
// others, which wait for it, is up to whatever started them, as mpirun does.
#ifndef VICREG_GROUP_H
#define VICREG_GROUP_H

#include <stddef.h>

// vicreg_group_open is called once, before all else. It sets size to the number of processes and
// rank, from 0, to that of this one.
const char *vicreg_group_open(int *rank, int *size);

// vicreg_group_all_reduce replaces the values by their sums over all processes, which must be
// bit-identical in each process.
const char *vicreg_group_all_reduce(float *values, size_t count);

// vicreg_group_all_gather fills all with the exact bits of the values of each process, by rank:
// size times count of them. mine and all do not overlap.
const char *vicreg_group_all_gather(const float *mine, size_t count, float *all);

// vicreg_group_close is called once, when all processes have reached the end, on the thread that
// called vicreg_group_open.
void vicreg_group_close(void);

#endif
