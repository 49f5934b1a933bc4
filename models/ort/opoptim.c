// Operations on many tensors at once, all float32, of any shapes: on the variables of an
// optimiser and on running statistics, by kernels/dots.cu, momentum.cu, adam.cu and blend.cu.
// Results that are lists come one list after the other.
//
// Dots(p..., g...) returns [3, n]: the sums of p*p, g*g and p*g for each of n variables p with
// gradients g. Momentum(decay, rate, lr, p..., g..., m...) returns p' and m':
//
//	m' = momentum*m + rate*(g + decay*p), p' = p - lr*m'
//
// with decay and rate [n], per variable, and lr [1]. If momentum is 0, m is ignored.
//
// Adam(decay, rate, correct, inv, p..., g..., m..., v...) returns p', m' and v':
//
//	d = inv*g, m' = beta1*m + fresh1*d, v' = beta2*v + fresh2*d*d
//	p' = p - decay*p - rate*m' / (sqrt(correct*v') + eps)
//
// with decay [n], and one rate, correct and inv. Its attributes are fresh1 and fresh2, from which
// the betas follow as 1 - fresh: the other way round, 1 - 0.999 would be off by 1e-5.
//
// Blend(weights, x..., y..., z...) returns weighted sums of n tensors each, with weights [k, n]
// for k sources, at most 3. In lists after the first a tensor may be a stack of sources: [m, ...]
// for m of them.
#include <string.h>

#include "api.h"
#include "kernels.h"
#include "oplists.h"

enum { DECAY, RATE, LR, LIST };
enum { CORRECT = RATE + 1, INV, ADAM_LIST };
enum { WEIGHTS, BLENDED };

static char *dots_shapes(const vr_attributes *a, const vr_shape *in, vr_shape *out) {
  int64_t n = 0;
  char *error = vr_variables(a, in, 2, &n);
  if (error == NULL) vr_set_shape(&out[0], 2, 3, n, 0, 0);
  return error;
}

static char *momentum_shapes(const vr_attributes *a, const vr_shape *in, vr_shape *out) {
  int64_t n = 0;
  char *error = vr_variables(a, in + LIST, 3, &n);
  if (error != NULL) return error;
  if (vr_elements(&in[DECAY]) != n || vr_elements(&in[RATE]) != n) return strdup("decay or rate is not a number for each variable");
  if (vr_elements(&in[LR]) != 1) return strdup("lr is not one number");
  for (int64_t i = 0; i < 2 * n; i++) out[i] = in[LIST + i % n];
  return NULL;
}

static char *adam_shapes(const vr_attributes *a, const vr_shape *in, vr_shape *out) {
  int64_t n = 0;
  char *error = vr_variables(a, in + ADAM_LIST, 4, &n);
  if (error != NULL) return error;
  if (vr_elements(&in[DECAY]) != n) return strdup("decay is not a number for each variable");
  for (int i = RATE; i <= INV; i++)
    if (vr_elements(&in[i]) != 1) return strdup("rate, correct or inv is not one number");
  for (int64_t i = 0; i < 3 * n; i++) out[i] = in[ADAM_LIST + i % n];
  return NULL;
}

enum { BLEND_SOURCES = 3 };

// sources_of returns how many tensors shaped like first x holds: itself, or those stacked in it;
// 0 for another shape.
static int64_t sources_of(const vr_shape *first, const vr_shape *x) {
  size_t stacked = x->rank - first->rank;
  if (x->rank < first->rank || stacked > 1) return 0;
  if (memcmp(x->dims + stacked, first->dims, first->rank * sizeof *x->dims) != 0) return 0;
  return stacked ? x->dims[0] : 1;
}

static char *blend_shapes(const vr_attributes *a, const vr_shape *in, vr_shape *out) {
  const vr_shape *w = &in[WEIGHTS], *list = in + BLENDED;
  if (w->rank != 2 || w->dims[0] < 1 || w->dims[0] > BLEND_SOURCES || w->dims[1] < 1) return strdup("weights are not [1 to 3, n]");
  int64_t n = w->dims[1], sources = 0;
  if (a->listed < n || a->listed % n != 0) return vr_error("weights are for %lld tensors, of %lld", (long long)n, (long long)a->listed);
  for (int64_t i = 0; i < a->listed; i++) {
    int64_t more = sources_of(&list[i % n], &list[i]);
    if (more < 1 || more != sources_of(&list[0], &list[i - i % n])) return vr_error("tensor %lld is not of the shape of its list", (long long)i);
    if (i % n == 0) sources += more;
  }
  if (sources != w->dims[0]) return vr_error("weights are for %lld sources, not %lld", (long long)w->dims[0], (long long)sources);
  for (int64_t i = 0; i < n; i++) out[i] = list[i];
  return NULL;
}

// The argument of the kernels of Dots, and the elements per block; see kernels/dots.cu.
enum { DOTS_TENSORS = 128, DOTS_CHUNK = 8192 };
typedef struct {
  const void *p[DOTS_TENSORS], *g[DOTS_TENSORS];
  int64_t count[DOTS_TENSORS];
  int first[DOTS_TENSORS + 1], tensors;
  int64_t stride;
  float *sums, *dots;
} dots;

static char *dots_launch(vr_call *run, dots *a) {
  static const vr_program program = {{"lists", "dots"}, VR_FLOAT, 4};
  void *scratch = NULL;
  int blocks = a->first[a->tensors];
  char *error = vr_scratch(run, 3 * sizeof(float) * blocks, &scratch);
  a->sums = scratch;
  if (error == NULL) error = vr_launch(run, &program, "dots_chunks", blocks, 1, 1, a);
  if (error == NULL) error = vr_launch(run, &program, "dots_total", a->tensors, 1, 1, a);
  vr_release_scratch(run, scratch);
  return error;
}

static char *dots_run(vr_call *run) {
  int64_t n = run->node->attributes.listed / 2;
  char *error = NULL;
  for (int64_t from = 0; error == NULL && from < n; from += DOTS_TENSORS) {
    dots a = {.tensors = n - from < DOTS_TENSORS ? n - from : DOTS_TENSORS, .stride = n, .dots = (float *)run->y[0] + from};
    vr_lay_out(run->in + from, a.tensors, DOTS_CHUNK, a.count, a.first);
    memcpy(a.p, run->x + from, a.tensors * sizeof *a.p);
    memcpy(a.g, run->x + n + from, a.tensors * sizeof *a.g);
    error = dots_launch(run, &a);
  }
  return error;
}

// The argument of the kernel of Momentum, and the elements per block; see kernels/momentum.cu.
enum { MOMENTUM_TENSORS = 72, MOMENTUM_CHUNK = 4096 };
typedef struct {
  const void *p[MOMENTUM_TENSORS], *g[MOMENTUM_TENSORS], *m[MOMENTUM_TENSORS];
  void *next_p[MOMENTUM_TENSORS], *next_m[MOMENTUM_TENSORS];
  int64_t count[MOMENTUM_TENSORS];
  int first[MOMENTUM_TENSORS + 1], tensors;
  const float *decay, *rate, *lr;
  float momentum;
} momentum;

static char *momentum_run(vr_call *run) {
  static const vr_program program = {{"lists", "momentum"}, VR_FLOAT, 4};
  int64_t n = run->node->attributes.listed / 3;
  char *error = vr_whole(run, 2 * n);
  for (int64_t from = 0; error == NULL && from < n; from += MOMENTUM_TENSORS) {
    momentum a = {.tensors = n - from < MOMENTUM_TENSORS ? n - from : MOMENTUM_TENSORS,
                  .decay = (const float *)run->x[DECAY] + from, .rate = (const float *)run->x[RATE] + from,
                  .lr = run->x[LR], .momentum = run->node->attributes.momentum};
    vr_lay_out(run->in + LIST + from, a.tensors, MOMENTUM_CHUNK, a.count, a.first);
    memcpy(a.p, run->x + LIST + from, a.tensors * sizeof *a.p);
    memcpy(a.g, run->x + LIST + n + from, a.tensors * sizeof *a.g);
    memcpy(a.m, run->x + LIST + 2 * n + from, a.tensors * sizeof *a.m);
    memcpy(a.next_p, run->y + from, a.tensors * sizeof *a.next_p);
    memcpy(a.next_m, run->y + n + from, a.tensors * sizeof *a.next_m);
    error = vr_launch(run, &program, "momentum_step", a.first[a.tensors], 1, 1, &a);
  }
  return error;
}

// The argument of the kernel of Adam, and the elements per block; see kernels/adam.cu.
enum { ADAM_TENSORS = 56, ADAM_CHUNK = 2048 };
typedef struct {
  const void *p[ADAM_TENSORS], *g[ADAM_TENSORS], *m[ADAM_TENSORS], *v[ADAM_TENSORS];
  void *next_p[ADAM_TENSORS], *next_m[ADAM_TENSORS], *next_v[ADAM_TENSORS];
  int64_t count[ADAM_TENSORS];
  int first[ADAM_TENSORS + 1], tensors;
  const float *decay, *rate, *correct, *inv;
  float beta1, beta2, fresh1, fresh2, eps;
} adam;

// adam_part fills in the tensors of lists of n, starting at from.
static void adam_part(const vr_call *run, int64_t n, int64_t from, adam *a) {
  void *const *x = run->x + ADAM_LIST + from, *const *y = run->y + from;
  vr_lay_out(run->in + ADAM_LIST + from, a->tensors, ADAM_CHUNK, a->count, a->first);
  memcpy(a->p, x, a->tensors * sizeof *x);
  memcpy(a->g, x + n, a->tensors * sizeof *x);
  memcpy(a->m, x + 2 * n, a->tensors * sizeof *x);
  memcpy(a->v, x + 3 * n, a->tensors * sizeof *x);
  memcpy(a->next_p, y, a->tensors * sizeof *y);
  memcpy(a->next_m, y + n, a->tensors * sizeof *y);
  memcpy(a->next_v, y + 2 * n, a->tensors * sizeof *y);
}

static char *adam_run(vr_call *run) {
  static const vr_program program = {{"lists", "adam"}, VR_FLOAT, 4};
  const vr_attributes *is = &run->node->attributes;
  int64_t n = is->listed / 4;
  char *error = vr_whole(run, 3 * n);
  for (int64_t from = 0; error == NULL && from < n; from += ADAM_TENSORS) {
    adam a = {.tensors = n - from < ADAM_TENSORS ? n - from : ADAM_TENSORS, .decay = (const float *)run->x[DECAY] + from,
              .rate = run->x[RATE], .correct = run->x[CORRECT], .inv = run->x[INV],
              .beta1 = 1.0 - is->fresh[0], .beta2 = 1.0 - is->fresh[1], .fresh1 = is->fresh[0], .fresh2 = is->fresh[1], .eps = is->eps};
    adam_part(run, n, from, &a);
    error = vr_launch(run, &program, "adam_step", a.first[a.tensors], 1, 1, &a);
  }
  return error;
}

// The argument of the kernel of Blend, and the elements per block; see kernels/blend.cu.
enum { BLEND_TENSORS = 72, BLEND_CHUNK = 1024 };
typedef struct {
  const void *x[BLEND_SOURCES][BLEND_TENSORS];
  void *y[BLEND_TENSORS];
  int64_t count[BLEND_TENSORS];
  int first[BLEND_TENSORS + 1], tensors, sources;
  const float *weights;
  int64_t stride;
} blend;

// blend_sources lists the sources of the tensors of a launch.
static void blend_sources(const vr_call *run, int64_t n, int64_t from, blend *a) {
  const vr_shape *shapes = run->in + BLENDED;
  int sources = 0;
  for (int64_t list = 0; list < run->node->attributes.listed; list += n) {
    int64_t stacked = sources_of(&shapes[0], &shapes[list]);
    for (int64_t k = 0; k < stacked; k++, sources++)
      for (int i = 0; i < a->tensors; i++)
        a->x[sources][i] = (const float *)run->x[BLENDED + list + from + i] + k * a->count[i];
  }
}

static char *blend_run(vr_call *run) {
  static const vr_program program = {{"lists", "blend"}, VR_FLOAT, 4};
  int64_t n = run->in[WEIGHTS].dims[1];
  char *error = vr_whole(run, n);
  for (int64_t from = 0; error == NULL && from < n; from += BLEND_TENSORS) {
    blend a = {.tensors = n - from < BLEND_TENSORS ? n - from : BLEND_TENSORS, .sources = run->in[WEIGHTS].dims[0],
               .weights = (const float *)run->x[WEIGHTS] + from, .stride = n};
    vr_lay_out(run->in + BLENDED + from, a.tensors, BLEND_CHUNK, a.count, a.first);
    blend_sources(run, n, from, &a);
    memcpy(a.y, run->y + from, a.tensors * sizeof *a.y);
    error = vr_launch(run, &program, "blend_all", a.first[a.tensors], 1, 1, &a);
  }
  return error;
}

const vr_operator vr_dots = {"Dots", "f*", "f", 0, dots_shapes, dots_run, NULL};
const vr_operator vr_momentum = {"Momentum", "ffff*", "f*", VR_MOMENTUM, momentum_shapes, momentum_run, NULL};
const vr_operator vr_adam = {"Adam", "fffff*", "f*", VR_EPS | VR_FRESH, adam_shapes, adam_run, NULL};
const vr_operator vr_blend = {"Blend", "ff*", "f*", 0, blend_shapes, blend_run, NULL};
