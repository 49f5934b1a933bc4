// The group of processes that this one has joined, and the operators over it: domain
// "vicreg.collectives", version 1, on the host.
#ifndef VICREG_OPGROUP_H
#define VICREG_OPGROUP_H

#include <stddef.h>
#include <stdint.h>

// vr_group_open loads a library as vicreg_group.h describes it and joins the group, which
// may be done once in a process; vr_group_close leaves it for good.
char *vr_group_open(const char *path, int *rank, int *size);
void vr_group_close(void);

// A tensor to be reduced, which may be where its sum goes; not empty.
typedef struct {
  const float *from;
  float *to;
  size_t count;
} vr_reduction;

// vr_group_gather and vr_group_reduce are the library's, the latter for many tensors in few
// calls; in a process by itself they copy.
char *vr_group_gather(const float *mine, size_t count, float *all);
char *vr_group_reduce(const vr_reduction *reductions, size_t n);
int vr_group_size(void); // 1 in a process by itself
int vr_group_rank(void);

// What a process has exchanged with the others: calls of the library, the values that it
// gave, and the time in them, with that of waiting for the others.
typedef struct {
  int64_t count, values;
  double seconds;
} vr_exchanges;

// vr_take_exchanges gives those since it was last called.
void vr_take_exchanges(vr_exchanges *all);

// vr_add_collectives makes the operators known to the sessions of these options.
char *vr_add_collectives(void *session_options);

#endif
