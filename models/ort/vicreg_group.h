// What a library must have that joins processes which train one model together:
// vicreg train --collectives LIBRARY. scripts/collectives/mpi.c is one, over MPI.
//
// Values lie in the host's memory, aligned as float is, and are one at least; infinities and
// NaNs are among them, and pass. A library that works on a device brings them there and
// chooses it.
//
// Every function returns NULL, or a sentence that says what went wrong, which stays
// where it is; after that none is called. Calls come one after the other, but from any
// thread. All processes make the same calls in the same order, and each waits for the others;
// the sizes are the same in all. A process that fails ends with an exit code other than 0 and
// without vicreg_group_close: to end the others then, which wait for it, is up to what
// started them, as mpirun does.
#ifndef VICREG_GROUP_H
#define VICREG_GROUP_H

#include <stddef.h>

// vicreg_group_open is called once, before all else. size is how many processes there
// are, and rank, from 0, which of them this one is.
const char *vicreg_group_open(int *rank, int *size);

// vicreg_group_all_reduce puts the sums over all processes in the place of the values. They
// must be the same in each process to the last bit.
const char *vicreg_group_all_reduce(float *values, size_t count);

// vicreg_group_all_gather fills all, to the last bit, with the values of each process, by rank: size times
// count of them. mine and all do not overlap.
const char *vicreg_group_all_gather(const float *mine, size_t count, float *all);

// vicreg_group_close is called once, when all processes have come to the end, on the thread
// that vicreg_group_open was called on.
void vicreg_group_close(void);

#endif
