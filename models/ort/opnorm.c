#include <stdlib.h>
#include <string.h>

#include "customop.h"
#include "kernels.h"

// Batch normalisation over the statistics of the batch, in training: with a residual z
// added where there is one, a relu applied where the attribute says so, and its
// gradients; by kernels/norm.cu and kernels/normgrad.cu. x is [N, H, W, C] or [N, C].
//
// BatchNorm(x, gamma, beta, z) gives y, the mean, the variance and 1/sqrt(variance + eps)
// of each channel, and a mask of what the relu has passed. N is divided into groups with
// statistics of their own, which are [groups, C] where there is more than one.
// BatchNormGrad(dy, more, x,
// gamma, beta, mean, istd, mask) takes dy in one part or in two to be added, and the mask
// where there was a residual.

enum { X, GAMMA, BETA, Z };
enum { Y, MEAN, VARIANCE, ISTD, MASK };
enum { G_DY, G_MORE, G_X, G_GAMMA, G_BETA, G_MEAN, G_ISTD, G_MASK };
enum { G_DX, G_DGAMMA, G_DBETA, G_DZ };

// The argument of the kernels; see kernels/strips.cu.
typedef struct {
  const void *x, *z, *dy, *more;
  void *y, *dx, *dz;
  const float *gamma, *beta;
  float *mean, *variance, *istd, *dgamma, *dbeta, *group_dgamma, *group_dbeta;
  void *mask;
  float *sums;
  unsigned *done;
  int64_t rows;
  int channels, chunk, chunks, groups;
  float eps;
  int relu;
} batch_norm;

static int64_t channels_of(const vr_shape *x) { return x->dims[x->rank - 1]; }

static int64_t rows_of(const vr_shape *x) {
  int64_t rows = 1;
  for (size_t i = 0; i + 1 < x->rank; i++) rows *= x->dims[i];
  return rows;
}

static int is_channel(const vr_shape *s, const vr_shape *x) { return s->rank == 1 && s->dims[0] == channels_of(x); }

static int64_t groups_of(const vr_attributes *a) { return a->groups > 1 ? a->groups : 1; }

static void set_statistic(const vr_attributes *a, const vr_shape *x, vr_shape *s) {
  int64_t groups = groups_of(a);
  if (groups > 1) vr_set_shape(s, 2, groups, channels_of(x), 0, 0);
  else vr_set_shape(s, 1, channels_of(x), 0, 0, 0);
}

static int alike(const vr_shape *a, const vr_shape *b) {
  return a->rank == b->rank && memcmp(a->dims, b->dims, a->rank * sizeof *a->dims) == 0;
}

static int is_statistic(const vr_attributes *a, const vr_shape *s, const vr_shape *x) {
  vr_shape want;
  set_statistic(a, x, &want);
  return alike(s, &want);
}

// masked is how many numbers of a type share a byte of the mask.
static int masked(int type, int64_t channels) {
  int most = 16 / vr_bytes(type);
  return channels % most == 0 ? most : 1;
}

static char *norm_shapes(const vr_attributes *a, const vr_shape *in, vr_shape *out) {
  const vr_shape *x = &in[X];
  if (x->rank != 4 && x->rank != 2) return strdup("x is not [N, H, W, C] or [N, C]");
  if (rows_of(x) < 1 || channels_of(x) < 1) return strdup("x is empty");
  if (x->dims[0] % groups_of(a) != 0) return strdup("x does not divide into groups");
  if (!is_channel(&in[GAMMA], x) || !is_channel(&in[BETA], x)) return strdup("gamma or beta is not [C]");
  if (in[Z].rank != 0 && !a->relu) return strdup("z is added before a relu only");
  if (in[Z].rank != 0 && !alike(&in[Z], x)) return strdup("z is not of the shape of x");
  out[Y] = *x;
  for (int i = MEAN; i <= ISTD; i++) set_statistic(a, x, &out[i]);
  if (in[Z].rank != 0)
    vr_set_shape(&out[MASK], 1, rows_of(x) * channels_of(x) / masked(x->type, channels_of(x)), 0, 0, 0);
  return NULL;
}

static char *norm_grad_shapes(const vr_attributes *a, const vr_shape *in, vr_shape *out) {
  const vr_shape *x = &in[G_X];
  if ((x->rank != 4 && x->rank != 2) || !alike(&in[G_DY], x)) return strdup("dy and x are not [N, H, W, C] or [N, C]");
  if (rows_of(x) < 1 || channels_of(x) < 1) return strdup("x is empty");
  if (in[G_MORE].rank != 0 && !alike(&in[G_MORE], x)) return strdup("the second part of dy is not of the shape of x");
  if (x->dims[0] % groups_of(a) != 0) return strdup("x does not divide into groups");
  if (!is_channel(&in[G_GAMMA], x) || !is_channel(&in[G_BETA], x)) return strdup("gamma or beta is not [C]");
  if (!is_statistic(a, &in[G_MEAN], x) || !is_statistic(a, &in[G_ISTD], x)) return strdup("mean or istd is not of the groups");
  int64_t mask = rows_of(x) * channels_of(x) / masked(x->type, channels_of(x));
  if (a->residual && (in[G_MASK].rank != 1 || in[G_MASK].dims[0] != mask)) return strdup("the mask is of another x");
  out[G_DX] = *x;
  vr_set_shape(&out[G_DGAMMA], 1, channels_of(x), 0, 0, 0);
  out[G_DBETA] = out[G_DGAMMA];
  if (a->residual) out[G_DZ] = *x;
  return NULL;
}

// form is how the kernels of one direction are run: their program, and the strips of
// channels that x is divided into.
typedef struct {
  vr_program program;
  int64_t strips;
} form;

// lay_out divides x among blocks. A thread loads wide numbers at once where the channels
// divide by what shares a byte of the mask.
static form lay_out(const vr_call *run, const char *file, const vr_shape *x, int wide, int resident, batch_norm *a) {
  int type = run->node->type;
  a->groups = groups_of(&run->node->attributes);
  a->rows = rows_of(x) / a->groups, a->channels = channels_of(x), a->relu = run->node->attributes.relu;
  a->eps = run->node->attributes.eps;
  int vector = masked(type, a->channels) == 1 ? 1 : wide;
  int64_t strip = vector == 1 ? 8 : 128 / vr_bytes(type); // channels
  form f = {.program = {{"strips", file}, type, vector}, .strips = (a->channels + strip - 1) / strip};
  int64_t chunks = vr_multiprocessors() * resident / (f.strips * a->groups);
  if (chunks < 1) chunks = 1;
  a->chunk = (a->rows + chunks - 1) / chunks;
  a->chunks = (a->rows + a->chunk - 1) / a->chunk;
  return f;
}

// counters are what a node keeps: of finished blocks, 0 between runs.
typedef struct {
  unsigned *done;
  int64_t count;
} counters;

static void forget(void *state) {
  counters *c = state;
  vr_cudnn.cudaFree(c->done);
  free(c);
}

// make allocates counters, so many. They are cleared in the order of the stream.
static char *make(vr_call *run, int64_t count, counters **to) {
  counters *c = calloc(1, sizeof *c);
  c->count = count;
  if (vr_cudnn.cudaMalloc((void **)&c->done, count * sizeof *c->done) == 0 &&
      vr_cudnn.cudaMemsetAsync(c->done, 0, count * sizeof *c->done, run->stream) == 0)
    return *to = c, NULL;
  forget(c);
  vr_cudnn.cudaGetLastError(); // or the next kernel of the runtime finds it
  return strdup("the device has no memory left for the counters of a normalisation");
}

// counters_of gives the node's counters, at least so many.
static char *counters_of(vr_call *run, int64_t count, unsigned **to) {
  counters *c = run->node->state;
  if (c == NULL || c->count < count) {
    counters *more = NULL;
    char *error = make(run, count, &more);
    if (error != NULL) return error;
    if (c != NULL) forget(c);
    run->node->state = c = more;
  }
  *to = c->done;
  return NULL;
}

// both runs the kernel that adds up and the one that applies.
static char *both(vr_call *run, const form *f, const char *sums, const char *apply, batch_norm *a) {
  void *scratch = NULL;
  int64_t sums_of = 2 * (int64_t)a->groups * a->chunks * a->channels, of_groups = (int64_t)a->groups * a->channels;
  char *error = counters_of(run, f->strips * a->groups, &a->done);
  if (error == NULL) error = vr_scratch(run, (sums_of + 2 * of_groups) * sizeof(float), &scratch);
  a->sums = scratch;
  a->group_dgamma = a->sums + sums_of, a->group_dbeta = a->group_dgamma + of_groups;
  if (error == NULL) error = vr_launch(run, &f->program, sums, f->strips, a->chunks, a->groups, a);
  if (error == NULL) error = vr_launch(run, &f->program, apply, f->strips, a->chunks, a->groups, a);
  vr_release_scratch(run, scratch);
  return error;
}

static char *norm_run(vr_call *run) {
  batch_norm a = {.x = run->x[X], .z = run->x[Z], .y = run->y[Y], .gamma = run->x[GAMMA], .beta = run->x[BETA],
                  .mean = run->y[MEAN], .variance = run->y[VARIANCE], .istd = run->y[ISTD], .mask = run->y[MASK]};
  form f = lay_out(run, "norm", &run->in[X], 16 / vr_bytes(run->node->type), 3, &a);
  return both(run, &f, "norm_sums", "norm_apply", &a);
}

static char *norm_grad_run(vr_call *run) {
  if (run->node->attributes.residual && run->y[G_DZ] == NULL) return strdup("dz is left out with residual=1");
  batch_norm a = {.x = run->x[G_X], .dy = run->x[G_DY], .more = run->x[G_MORE], .gamma = run->x[G_GAMMA],
                  .beta = run->x[G_BETA], .mean = run->x[G_MEAN], .istd = run->x[G_ISTD],
                  .mask = run->node->attributes.residual ? run->x[G_MASK] : NULL,
                  .dx = run->y[G_DX], .dgamma = run->y[G_DGAMMA], .dbeta = run->y[G_DBETA], .dz = run->y[G_DZ]};
  form f = lay_out(run, "normgrad", &run->in[G_X], 4, run->node->type == VR_FLOAT ? 3 : 4, &a);
  return both(run, &f, "norm_grad_sums", "norm_grad_apply", &a);
}

const vr_operator vr_batch_norm = {"BatchNorm", "tffT", "tfffB", VR_EPS, norm_shapes, norm_run, forget};
const vr_operator vr_batch_norm_grad = {"BatchNormGrad",  "tTtffffB",    "tffT", VR_EPS,
                                        norm_grad_shapes, norm_grad_run, forget};
