// What the operators that compute the statistics of a batch for its normalisation share.
#ifndef VICREG_OPNORM_H
#define VICREG_OPNORM_H

#include "customop.h"

// vr_statistics holds mean, variance and 1/sqrt(variance + eps) of each channel: [C] or, with
// more than one group, [groups, C].
typedef struct {
  float *mean, *variance, *istd;
} vr_statistics;

// vr_groups is the number of groups that a batch is divided into, at least 1.
int64_t vr_groups(const vr_attributes *a);

// vr_set_statistic fills in the shape of one of them for x.
void vr_set_statistic(const vr_attributes *a, const vr_shape *x, vr_shape *statistic);

// vr_counters is device memory that passes over a tensor keep between runs.
typedef struct vr_counters vr_counters;
void vr_counters_forget(void *counters);

// vr_moments computes the statistics of x in one pass over it, and makes the counters on first
// use.
char *vr_moments(vr_call *run, const vr_shape *shape, const void *x, const vr_statistics *to, vr_counters **kept);

#endif
