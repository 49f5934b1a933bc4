#include <string.h>

#include "customop.h"
#include "kernels.h"

// Pixels(pixels, scale, shift, like) converts uint8 [N, H, W, 3] to [N, H, W, channels] of the
// type of like, a number whose value is ignored: pixel*scale + shift by colour, and zeros in the
// other channels. By kernels/pixels.cu.

enum { PIXELS, SCALE, SHIFT, LIKE };
enum { COLOURS = 3, BLOCKS = 8 }; // blocks per multiprocessor

// The kernel's argument.
typedef struct {
  const void *pixels, *scale, *shift;
  void *y;
  int64_t count;
  int channels;
} pixel_values;

static int is_colours(const vr_shape *s) { return s->rank == 1 && s->dims[0] == COLOURS; }

static char *pixels_shapes(const vr_attributes *a, const vr_shape *in, vr_shape *out) {
  const int64_t *x = in[PIXELS].dims;
  if (in[PIXELS].rank != 4 || x[3] != COLOURS) return strdup("pixels is not [N, H, W, 3]");
  if (x[0] < 1 || x[1] < 1 || x[2] < 1) return strdup("pixels is empty");
  if (!is_colours(&in[SCALE]) || !is_colours(&in[SHIFT])) return strdup("scale or shift is not [3]");
  if (a->channels < COLOURS) return strdup("channels is less than 3");
  vr_set_shape(&out[0], 4, x[0], x[1], x[2], a->channels);
  return NULL;
}

static char *pixels_run(vr_call *run) {
  const int64_t *x = run->in[PIXELS].dims;
  pixel_values p = {run->x[PIXELS], run->x[SCALE], run->x[SHIFT], run->y[0], x[0] * x[1] * x[2], run->node->attributes.channels};
  vr_program program = {{"pixels"}, run->node->type, p.channels == 4 ? 4 : 1};
  int64_t blocks = (p.count + VR_THREADS - 1) / VR_THREADS, most = (int64_t)BLOCKS * vr_multiprocessors();
  return vr_launch(run, &program, "pixels_to_values", blocks < most ? blocks : most, 1, 1, &p);
}

const vr_operator vr_pixels = {"Pixels", "bfft", "t", VR_CHANNELS, pixels_shapes, pixels_run};
