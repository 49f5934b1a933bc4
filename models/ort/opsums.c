// Sums and conversions of many tensors of any shapes at once, by kernels/sums.cu and halves.cu.
//
// Sums(x..., z...) returns x + z for each of n pairs of the activations' type, in float32.
// Halves(like, x...) returns each of n float32 tensors in the type of like, a number whose value
// is ignored.
#include <string.h>

#include "kernels.h"
#include "oplists.h"

enum { LIKE, HALVED };

static char *sums_shapes(const vr_attributes *a, const vr_shape *in, vr_shape *out) {
  int64_t n = 0;
  char *error = vr_variables(a, in, 2, &n);
  for (int64_t i = 0; error == NULL && i < n; i++) out[i] = in[i];
  return error;
}

static char *halves_shapes(const vr_attributes *a, const vr_shape *in, vr_shape *out) {
  int64_t n = 0;
  char *error = vr_variables(a, in + HALVED, 1, &n);
  for (int64_t i = 0; error == NULL && i < n; i++) out[i] = in[HALVED + i];
  return error;
}

// The argument of the kernel of Sums, and the vectors per block; see kernels/sums.cu.
enum { SUMS_TENSORS = 112, SUMS_VECTORS = 1024 };
typedef struct {
  const void *x[SUMS_TENSORS], *z[SUMS_TENSORS];
  void *y[SUMS_TENSORS];
  int64_t count[SUMS_TENSORS];
  int first[SUMS_TENSORS + 1], tensors;
} sums;

static char *sums_run(vr_call *run) {
  int type = run->node->type;
  vr_program program = {{"lists", "sums"}, type, 16 / vr_bytes(type)};
  int64_t n = run->node->attributes.listed / 2;
  char *error = vr_whole(run, n);
  for (int64_t from = 0; error == NULL && from < n; from += SUMS_TENSORS) {
    sums a = {.tensors = n - from < SUMS_TENSORS ? n - from : SUMS_TENSORS};
    vr_lay_out(run->in + from, a.tensors, SUMS_VECTORS * program.vector, a.count, a.first);
    memcpy(a.x, run->x + from, a.tensors * sizeof *a.x);
    memcpy(a.z, run->x + n + from, a.tensors * sizeof *a.z);
    memcpy(a.y, run->y + from, a.tensors * sizeof *a.y);
    error = vr_launch(run, &program, "sums_all", a.first[a.tensors], 1, 1, &a);
  }
  return error;
}

// The argument of the kernel of Halves, and the elements per block; see kernels/halves.cu.
enum { HALVES_TENSORS = 144, HALVES_CHUNK = 4096 };
typedef struct {
  const void *x[HALVES_TENSORS];
  void *y[HALVES_TENSORS];
  int64_t count[HALVES_TENSORS];
  int first[HALVES_TENSORS + 1], tensors;
} halves;

static char *halves_run(vr_call *run) {
  vr_program program = {{"lists", "halves"}, run->node->type, 4};
  int64_t n = run->node->attributes.listed;
  char *error = vr_whole(run, n);
  for (int64_t from = 0; error == NULL && from < n; from += HALVES_TENSORS) {
    halves a = {.tensors = n - from < HALVES_TENSORS ? n - from : HALVES_TENSORS};
    vr_lay_out(run->in + HALVED + from, a.tensors, HALVES_CHUNK, a.count, a.first);
    memcpy(a.x, run->x + HALVED + from, a.tensors * sizeof *a.x);
    memcpy(a.y, run->y + from, a.tensors * sizeof *a.y);
    error = vr_launch(run, &program, "halves_all", a.first[a.tensors], 1, 1, &a);
  }
  return error;
}

const vr_operator vr_sums = {"Sums", "t*", "f*", 0, sums_shapes, sums_run, NULL};
const vr_operator vr_halves = {"Halves", "tf*", "t*", 0, halves_shapes, halves_run, NULL};
