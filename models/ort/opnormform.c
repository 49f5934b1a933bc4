// Which of cuDNN's forms of batch normalisation are taken. Source: the documentation of
// cudnnBatchNormalizationForwardTrainingEx in its ops library, of what is supported when.
#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#include "opnorm.h"

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static vr_norm_form *forms; // all there are, for good; a net has a dozen

int vr_not_supported(int status) { return status >= CUDNN_NOT_SUPPORTED && status <= CUDNN_NOT_SUPPORTED_LAST; }

static size_t larger(size_t a, size_t b) { return a > b ? a : b; }

// add asks cuDNN what a way needs, and leaves out one that it refuses.
static void add(vr_norm_form *f, vr_call *run, int mode, int ops, void *x, void *channel, void *activation) {
  size_t forward = 0, backward = 0, reserve = 0;
  void *dz = ops == CUDNN_NORM_ADD_ACTIVATION ? x : NULL, *a = ops == CUDNN_NORM ? NULL : activation;
  if (vr_cudnn.cudnnGetBatchNormalizationForwardTrainingExWorkspaceSize(run->cudnn, mode, ops, x, x, x, channel, a,
                                                                        &forward) != 0 ||
      vr_cudnn.cudnnGetBatchNormalizationBackwardExWorkspaceSize(run->cudnn, mode, ops, x, x, x, dz, x, channel, a,
                                                                 &backward) != 0 ||
      vr_cudnn.cudnnGetBatchNormalizationTrainingExReserveSpaceSize(run->cudnn, mode, ops, a, x, &reserve) != 0)
    return;
  f->way[f->ways++] = (vr_norm_way){mode, ops, reserve};
  f->workspace = larger(f->workspace, larger(forward, backward));
  f->reserve = larger(f->reserve, reserve);
}

// may_fuse is what the user says of it, for whoever doubts what a fused kernel gives.
static int may_fuse(void) {
  const char *fusion = getenv("VICREG_CUDNN_FUSION");
  return fusion == NULL || strcmp(fusion, "0") != 0;
}

static vr_norm_form *make(vr_call *run, void *x, void *channel, void *activation) {
  const vr_attributes *a = &run->node->attributes;
  vr_norm_form *f = calloc(1, sizeof *f);
  f->reserve = 1; // there is always a tensor
  // Documented for float16 alone.
  if (a->relu && run->node->type == CUDNN_HALF && may_fuse())
    add(f, run, CUDNN_SPATIAL_PERSISTENT, a->residual ? CUDNN_NORM_ADD_ACTIVATION : CUDNN_NORM_ACTIVATION, x, channel,
        activation);
  add(f, run, CUDNN_SPATIAL_PERSISTENT, CUDNN_NORM, x, channel, activation);
  add(f, run, CUDNN_SPATIAL, CUDNN_NORM, x, channel, activation);
  return f;
}

static vr_norm_form *find(const vr_call *run, const vr_shape *shape) {
  const vr_attributes *a = &run->node->attributes;
  for (vr_norm_form *f = forms; f != NULL; f = f->next)
    if (f->type == run->node->type && f->relu == a->relu && f->residual == a->residual &&
        memcmp(f->shape.dims, shape->dims, 4 * sizeof *shape->dims) == 0)
      return f;
  return NULL;
}

char *vr_norm_form_of(vr_call *run, const vr_shape *shape, void *x, void *channel, void *activation,
                      vr_norm_form **form) {
  pthread_mutex_lock(&lock);
  vr_norm_form *f = find(run, shape);
  if (f == NULL) {
    const vr_attributes *a = &run->node->attributes;
    f = make(run, x, channel, activation);
    f->shape = *shape, f->type = run->node->type, f->relu = a->relu, f->residual = a->residual;
    f->next = forms, forms = f;
  }
  pthread_mutex_unlock(&lock);
  *form = f;
  return f->ways > 0 ? NULL : strdup("cuDNN has no batch normalisation for this shape");
}

const vr_norm_way *vr_norm_way_of(vr_norm_form *f) {
  pthread_mutex_lock(&lock);
  const vr_norm_way *way = &f->way[f->now];
  pthread_mutex_unlock(&lock);
  return way;
}

static int next(vr_norm_form *f, const vr_norm_way *refused, int with_reserve) {
  pthread_mutex_lock(&lock);
  int to = f->now;
  if (&f->way[to] == refused) { // or else another node has given it up already
    to++;
    while (to < f->ways && !with_reserve && f->way[to].reserve > 0) to++;
  }
  int left = to < f->ways;
  if (left) f->now = to;
  pthread_mutex_unlock(&lock);
  return left;
}

int vr_norm_next(vr_norm_form *f, const vr_norm_way *refused) { return next(f, refused, 1); }

int vr_norm_next_gradient(vr_norm_form *f, const vr_norm_way *refused) { return next(f, refused, 0); }
