#include <stdlib.h>
#include <string.h>

#include "kernels.h"
#include "opnormshapes.h"

// Batch normalisation by the statistics of the batch, in training, with an optional residual z to
// be added and, if the attribute says so, a ReLU; and its gradients. By kernels/norm.cu and
// kernels/normgrad.cu. x is [N, H, W, C] or [N, C].
//
// BatchNorm(x, gamma, beta, z) returns y, the mean, the variance and 1/sqrt(variance + eps) of
// each channel, and a mask of what the ReLU has passed. N is divided into groups with statistics
// of their own, which are [groups, C] if there is more than one. BatchNormGrad(dy, more, x,
// gamma, beta, mean, istd, mask) accepts dy in one part, or in two to be added, and the mask if
// there was a residual. Normalize(x, gamma, beta, mean, istd, z) returns y and the mask for known
// statistics; see opmoments.c.

// The kernels' argument; see kernels/strips.cu.
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

// form is how the kernels of one direction are launched: their program, and the number of strips
// that the channels of x are divided into.
typedef struct {
  vr_program program;
  int64_t strips;
} form;

// lay_out divides x among blocks. A thread loads wide elements at once if the channels divide by
// the number that share a byte of the mask, else one.
static form lay_out(const vr_call *run, const char *file, const vr_shape *x, int wide, int resident, batch_norm *a) {
  int type = run->node->type;
  a->groups = vr_groups(&run->node->attributes);
  a->rows = vr_rows(x) / a->groups, a->channels = vr_channels(x), a->relu = run->node->attributes.relu;
  a->eps = run->node->attributes.eps;
  int vector = vr_masked(type, a->channels) == 1 ? 1 : wide;
  int64_t strip = vector == 1 ? 8 : 128 / vr_bytes(type); // channels
  form f = {.program = {{"strips", file}, type, vector}, .strips = (a->channels + strip - 1) / strip};
  int64_t chunks = vr_multiprocessors() * resident / (f.strips * a->groups);
  if (chunks < 1) chunks = 1;
  a->chunk = (a->rows + chunks - 1) / chunks;
  a->chunks = (a->rows + a->chunk - 1) / a->chunk;
  return f;
}

// vr_counters is what a node keeps: counters of finished blocks, 0 between runs.
struct vr_counters {
  unsigned *done;
  int64_t count;
};

void vr_counters_forget(void *state) {
  vr_counters *c = state;
  if (c == NULL) return;
  vr_cudnn.cudaFree(c->done);
  free(c);
}

// make allocates count counters, which are cleared in stream order.
static char *make(vr_call *run, int64_t count, vr_counters **to) {
  vr_counters *c = calloc(1, sizeof *c);
  c->count = count;
  if (vr_cudnn.cudaMalloc((void **)&c->done, count * sizeof *c->done) == 0 &&
      vr_cudnn.cudaMemsetAsync(c->done, 0, count * sizeof *c->done, run->stream) == 0)
    return *to = c, NULL;
  vr_counters_forget(c);
  vr_cudnn.cudaGetLastError(); // else the runtime's next kernel would report it
  return strdup("the device has no memory left for the counters of a normalisation");
}

// counters_of returns the node's counters, at least count of them.
static char *counters_of(vr_call *run, vr_counters **kept, int64_t count, unsigned **to) {
  if (*kept == NULL || (*kept)->count < count) {
    vr_counters *more = NULL;
    char *error = make(run, count, &more);
    if (error != NULL) return error;
    vr_counters_forget(*kept);
    *kept = more;
  }
  *to = (*kept)->done;
  return NULL;
}

// both launches the kernel that sums and, if there is one, the kernel that applies.
static char *both(vr_call *run, const form *f, const char *sums, const char *apply, batch_norm *a, vr_counters **kept) {
  void *scratch = NULL;
  int64_t sums_of = 2 * (int64_t)a->groups * a->chunks * a->channels, of_groups = (int64_t)a->groups * a->channels;
  char *error = counters_of(run, kept, f->strips * a->groups, &a->done);
  if (error == NULL) error = vr_scratch(run, (sums_of + 2 * of_groups) * sizeof(float), &scratch);
  a->sums = scratch;
  a->group_dgamma = a->sums + sums_of, a->group_dbeta = a->group_dgamma + of_groups;
  if (error == NULL) error = vr_launch(run, &f->program, sums, f->strips, a->chunks, a->groups, a);
  if (error == NULL && apply != NULL) error = vr_launch(run, &f->program, apply, f->strips, a->chunks, a->groups, a);
  vr_release_scratch(run, scratch);
  return error;
}

// both_of is both for a node that keeps nothing but the counters.
static char *both_of(vr_call *run, const form *f, const char *sums, const char *apply, batch_norm *a) {
  vr_counters *kept = run->node->state;
  char *error = both(run, f, sums, apply, a, &kept);
  run->node->state = kept;
  return error;
}

static form lay_out_forward(const vr_call *run, const vr_shape *x, batch_norm *a) {
  return lay_out(run, "norm", x, 16 / vr_bytes(run->node->type), 3, a);
}

static char *norm_run(vr_call *run) {
  batch_norm a = {.x = run->x[X], .z = run->x[Z], .y = run->y[Y], .gamma = run->x[GAMMA], .beta = run->x[BETA],
                  .mean = run->y[MEAN], .variance = run->y[VARIANCE], .istd = run->y[ISTD], .mask = run->y[MASK]};
  form f = lay_out_forward(run, &run->in[X], &a);
  return both_of(run, &f, "norm_sums", "norm_apply", &a);
}

char *vr_moments(vr_call *run, const vr_shape *shape, const void *x, const vr_statistics *to, vr_counters **kept) {
  batch_norm a = {.x = x, .mean = to->mean, .variance = to->variance, .istd = to->istd};
  form f = lay_out_forward(run, shape, &a);
  return both(run, &f, "norm_sums", NULL, &a, kept);
}

static char *apply_run(vr_call *run) {
  batch_norm a = {.x = run->x[N_X], .z = run->x[N_Z], .y = run->y[N_Y], .gamma = run->x[N_GAMMA], .beta = run->x[N_BETA],
                  .mean = run->x[N_MEAN], .istd = run->x[N_ISTD], .mask = run->y[N_MASK]};
  form f = lay_out_forward(run, &run->in[N_X], &a);
  return vr_launch(run, &f.program, "norm_apply", f.strips, a.chunks, a.groups, &a);
}

static char *norm_grad_run(vr_call *run) {
  if (run->node->attributes.residual && run->y[G_DZ] == NULL) return strdup("dz is left out with residual=1");
  batch_norm a = {.x = run->x[G_X], .dy = run->x[G_DY], .more = run->x[G_MORE], .gamma = run->x[G_GAMMA],
                  .beta = run->x[G_BETA], .mean = run->x[G_MEAN], .istd = run->x[G_ISTD],
                  .mask = run->node->attributes.residual ? run->x[G_MASK] : NULL,
                  .dx = run->y[G_DX], .dgamma = run->y[G_DGAMMA], .dbeta = run->y[G_DBETA], .dz = run->y[G_DZ]};
  form f = lay_out(run, "normgrad", &run->in[G_X], 4, run->node->type == VR_FLOAT ? 3 : 4, &a);
  return both_of(run, &f, "norm_grad_sums", "norm_grad_apply", &a);
}

const vr_operator vr_batch_norm = {"BatchNorm", "tffT", "tfffB", VR_EPS, vr_norm_shapes, norm_run, vr_counters_forget};
const vr_operator vr_batch_norm_grad = {"BatchNormGrad",  "tTtffffB",    "tffT", VR_EPS,
                                        vr_norm_grad_shapes, norm_grad_run, vr_counters_forget};
const vr_operator vr_normalize = {"Normalize", "tffffT", "tB", 0, vr_normalize_shapes, apply_run, NULL};
