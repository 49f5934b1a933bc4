// What the operators on many tensors at once share.
#ifndef VICREG_OPLISTS_H
#define VICREG_OPLISTS_H

#include "customop.h"

int64_t vr_elements(const vr_shape *shape);

// vr_variables counts the variables in lists of p, g and so on, whose tensors must have equal
// shapes.
char *vr_variables(const vr_attributes *a, const vr_shape *list, int lists, int64_t *n);

// vr_lay_out divides tensors into blocks of chunk elements. For each it returns the number of
// elements and the first block; first[tensors] is the number of blocks.
void vr_lay_out(const vr_shape *shapes, int tensors, int chunk, int64_t *count, int *first);

// vr_whole returns an error if an output is left out.
char *vr_whole(const vr_call *run, int64_t outputs);

#endif
