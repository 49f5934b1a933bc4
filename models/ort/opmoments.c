#include <stdlib.h>
#include <string.h>

#include "kernels.h"
#include "opclock.h"
#include "opconv.h"
#include "opnorm.h"

// ConvMoments(x, w) returns y, the convolution of x, and the statistics by which it is to be
// normalised: mean, variance and 1/sqrt(variance + eps) of each channel. N is divided into groups
// with statistics of their own, as in BatchNorm.
//
// There are two ways. cuDNN fuses the sums of y and of its squares into a convolution, with
// kernels that are some tenths slower than its others and do not support groups, which are
// convolved one by one. Otherwise y is read once more, from memory that is slow compared with the
// multiplications. The faster way is found by timing both.
//
// The fused sums are of y in float32, before it is rounded, and give the variance as the mean of
// the squares minus the square of the mean, as in cuDNN's own normalisation. That costs digits
// where a channel's mean is large compared with its standard deviation: the convolution of a
// ReLU's output with weights of one sign is at most some 50 deviations away from zero, which
// leaves the variance 3 digits of 7.

enum { UNKNOWN, FUSED, APART };

// ways is what a node keeps: the plans of both ways, and counters.
typedef struct {
  vr_plan *apart, *fused;
  vr_counters *counters;
} ways;

static void forget(void *state) {
  ways *w = state;
  if (w->apart != NULL) vr_plan_leave(w->apart);
  if (w->fused != NULL) vr_plan_leave(w->fused);
  vr_counters_forget(w->counters);
  free(w);
}

static char *shapes(const vr_attributes *a, const vr_shape *in, vr_shape *out) {
  char *error = vr_conv_shapes(a, in, out);
  if (error != NULL) return error;
  if (in[0].dims[0] % vr_groups(a) != 0) return strdup("x does not divide into groups");
  for (int i = 1; i <= 3; i++) vr_set_statistic(a, &out[0], &out[i]);
  return NULL;
}

// The kernel's argument; see kernels/moments.cu.
typedef struct {
  const float *sum, *squares;
  float *mean, *variance, *istd;
  int count;
  float rows, eps;
} moments;

// attempt is one run of a node.
typedef struct {
  vr_call *run;
  ways *ways;
  vr_conv_data data;
  vr_statistics to;
  int64_t groups;
  void *workspace; // for either plan; NULL to allocate it for each run
} attempt;

static char *convolve(attempt *t, const vr_plan *plan) {
  if (t->workspace == NULL) return vr_conv_run(t->run, plan, &t->data);
  return vr_execute(&plan->shape, plan->plan, &t->data, t->workspace);
}

static char *run_fused(void *of) {
  attempt *t = of;
  const vr_conv_shape *s = &t->ways->fused->shape;
  char *error = convolve(t, t->ways->fused);
  if (error != NULL) return error;
  const vr_program program = {{"moments"}, t->run->node->type, 1};
  const int count = t->groups * s->y[3];
  const moments a = {t->data.sum,    t->data.squares, t->to.mean, t->to.variance,
                     t->to.istd,     count,           (float)(s->y[0] / t->groups * s->y[1] * s->y[2]),
                     t->run->node->attributes.eps};
  return vr_launch(t->run, &program, "moments_of_sums", (count + VR_THREADS - 1) / VR_THREADS, 1, 1, &a);
}

static char *run_apart(void *of) {
  attempt *t = of;
  char *error = convolve(t, t->ways->apart);
  return error != NULL ? error : vr_moments(t->run, &t->run->out[0], t->data.y, &t->to, &t->ways->counters);
}

// measure returns the time of some runs after a warm-up.
static char *measure(attempt *t, const vr_clock *clock, char *(*way)(void *), float *ms) {
  enum { TIMED_RUNS = 5 };
  char *error = way(t);
  return error != NULL ? error : vr_time(t->run, clock, way, t, TIMED_RUNS, ms);
}

// faster reports whether the fused way takes less time; false if it fails. An error is that of the
// other way.
static char *faster(attempt *t, int *is) {
  float fused = 0, apart = 0;
  vr_clock clock;
  char *error = vr_clock_make(&clock), *failed = NULL;
  if (error == NULL && (failed = measure(t, &clock, run_fused, &fused)) != NULL)
    vr_cudnn.cudaGetLastError(); // else the runtime's next kernel would report it
  if (error == NULL) error = measure(t, &clock, run_apart, &apart);
  vr_clock_free(&clock);
  *is = failed == NULL && error == NULL && fused < apart;
  free(failed);
  return error;
}

// choose times both ways and picks the faster one; the fused one only where both fit in memory.
static char *choose(attempt *t, int *way) {
  const vr_plan *fused = t->ways->fused, *apart = t->ways->apart;
  size_t bytes = fused->workspace > apart->workspace ? fused->workspace : apart->workspace;
  int is = 0;
  char *error = NULL;
  if (fused->plan != NULL && bytes > 0) t->workspace = vr_try_memory(bytes);
  if (fused->plan != NULL && (bytes == 0 || t->workspace != NULL)) error = faster(t, &is);
  if (t->workspace != NULL) vr_cudnn.cudaFree(t->workspace), t->workspace = NULL;
  if (error != NULL) return error;
  *way = is ? FUSED : APART;
  vr_moments_chosen(is);
  return NULL;
}

// aligned reports whether each group's part of a tensor begins where a kernel may load vectors.
static int aligned(const vr_conv_shape *s, const int64_t dims[4]) {
  return dims[0] / s->groups * dims[1] * dims[2] * dims[3] * 2 % 16 == 0;
}

static char *compute(attempt *t) {
  const vr_conv_shape shape = vr_conv_forward(t->run);
  vr_conv_shape sums = shape;
  sums.groups = t->groups;
  char *error = vr_conv_plan(t->run, &shape, &t->data, &t->ways->apart);
  if (error != NULL || !aligned(&sums, shape.x) || !aligned(&sums, shape.y) || shape.y[3] % 4 != 0)
    return error != NULL ? error : run_apart(t);
  error = vr_conv_plan(t->run, &sums, &t->data, &t->ways->fused);
  int *way = error ? NULL : &t->ways->fused->way;
  if (error == NULL && *way == UNKNOWN) error = choose(t, way);
  return error != NULL ? error : *way == FUSED ? run_fused(t) : run_apart(t);
}

static char *moments_run(vr_call *run) {
  if (run->node->state == NULL) run->node->state = calloc(1, sizeof(ways));
  const int64_t groups = vr_groups(&run->node->attributes);
  const int64_t count = groups * run->out[0].dims[3];
  void *sums = NULL;
  char *error = vr_scratch(run, 2 * count * sizeof(float), &sums);
  if (error != NULL) return error;
  error = compute(&(attempt){.run = run,
                             .ways = run->node->state,
                             .data = {run->x[0], run->x[1], run->y[0], sums, (float *)sums + count},
                             .to = {run->y[1], run->y[2], run->y[3]},
                             .groups = groups});
  vr_release_scratch(run, sums);
  return error;
}

const vr_operator vr_conv_moments = {"ConvMoments", "tt", "tfff", VR_PADS | VR_STRIDE | VR_EPS, shapes, moments_run, forget};
