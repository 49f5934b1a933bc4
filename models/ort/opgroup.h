// The group of processes that this one has joined, and the operators over it: domain
// "vicreg.collectives", version 1, on the host.
#ifndef VICREG_OPGROUP_H
#define VICREG_OPGROUP_H

#include <stddef.h>
#include <stdint.h>

// vr_group_open loads a library as described in vicreg_group.h and joins the group, at most once
// per process; vr_group_close leaves it for good.
char *vr_group_open(const char *path, int *rank, int *size);
void vr_group_close(void);

// A tensor to be reduced, possibly in place; not empty.
typedef struct {
  const float *from;
  float *to;
  size_t count;
} vr_reduction;

// vr_group_gather and vr_group_reduce call the library, the latter for many tensors in few calls;
// in a process without a group they copy.
char *vr_group_gather(const float *mine, size_t count, float *all);
char *vr_group_reduce(const vr_reduction *reductions, size_t n);
int vr_group_size(void); // 1 without a group
int vr_group_rank(void);

// What a process has exchanged with the others: the calls of the library, the values passed to
// it, and the time in those calls, including the wait for the others.
typedef struct {
  int64_t count, values;
  double seconds;
} vr_exchanges;

// vr_take_exchanges returns the exchanges since its last call.
void vr_take_exchanges(vr_exchanges *all);

// vr_add_collectives registers the operators with these session options.
char *vr_add_collectives(void *session_options);

#endif
