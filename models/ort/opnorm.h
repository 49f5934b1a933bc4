// What operators share that take the statistics of a batch for its normalisation.
#ifndef VICREG_OPNORM_H
#define VICREG_OPNORM_H

#include "customop.h"

// vr_statistics are mean, variance and 1/sqrt(variance + eps) of each channel, [C] or, of more
// than one group, [groups, C].
typedef struct {
  float *mean, *variance, *istd;
} vr_statistics;

// vr_set_statistic fills in the shape of one of them for an x.
void vr_set_statistic(const vr_attributes *a, const vr_shape *x, vr_shape *statistic);

// vr_counters are memory of the device that passes over a tensor keep from one run to the next.
typedef struct vr_counters vr_counters;
void vr_counters_forget(void *counters);

// vr_moments takes the statistics of x in a pass over it, with counters that are made where
// there are none yet.
char *vr_moments(vr_call *run, const vr_shape *shape, const void *x, const vr_statistics *to, vr_counters **kept);

#endif
