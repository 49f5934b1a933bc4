// What the operators that take many tensors at once have in common.
#ifndef VICREG_OPLISTS_H
#define VICREG_OPLISTS_H

#include "customop.h"

int64_t vr_elements(const vr_shape *shape);

// vr_variables says how many there are in lists of p, g and so on, which are alike.
char *vr_variables(const vr_attributes *a, const vr_shape *list, int lists, int64_t *n);

// vr_lay_out gives each of some tensors its blocks, of so many numbers: how many numbers
// it has, and its first block; behind those is how many blocks there are.
void vr_lay_out(const vr_shape *shapes, int tensors, int chunk, int64_t *count, int *first);

// vr_whole says what is wrong where an output is left out.
char *vr_whole(const vr_call *run, int64_t outputs);

#endif
