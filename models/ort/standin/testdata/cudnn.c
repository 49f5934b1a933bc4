// Stands in for libcudnn.so.9: its ops library, computed by plain loops in the host's
// memory. Signatures and numbers are those of NVIDIA's documentation of cuDNN 9;
// it refuses what cuDNN refuses as far as the code under test depends on it.
#define _GNU_SOURCE
#include "cudnn.h"

#include <dlfcn.h>
#include <math.h>
#include <stdarg.h>
#include <stdio.h>

static double of_half(uint16_t bits) {
  int exponent = bits >> 10 & 31, fraction = bits & 1023;
  double value = exponent == 31  ? (fraction ? NAN : INFINITY)
                 : exponent == 0 ? ldexp(fraction, -24)
                                 : ldexp(1024 + fraction, exponent - 25);
  return bits >> 15 ? -value : value;
}

static uint16_t to_half(double value) {
  uint16_t sign = signbit(value) ? 0x8000 : 0;
  double size = fabs(value);
  if (isnan(value)) return 0x7e00;
  if (size >= 65520) return sign | 0x7c00;
  int exponent;
  frexp(size, &exponent); // size = 0.5..1 * 2^exponent
  int place = exponent - 11 < -24 ? -24 : exponent - 11;
  long fraction = lrint(ldexp(size, -place)); // ties to even
  if (fraction < 1024) return sign | fraction;
  return sign | ((place + 24 << 10) + fraction); // a carry goes into the exponent
}

double get(const tensor *t, const void *data, int64_t n, int64_t c, int64_t h, int64_t w) {
  int64_t i = n * t->strides[N] + c * t->strides[C] + h * t->strides[H] + w * t->strides[W];
  return t->type == HALF ? of_half(((const uint16_t *)data)[i]) : ((const float *)data)[i];
}

void put(const tensor *t, void *data, double value, int64_t n, int64_t c, int64_t h, int64_t w) {
  int64_t i = n * t->strides[N] + c * t->strides[C] + h * t->strides[H] + w * t->strides[W];
  if (t->type == HALF) ((uint16_t *)data)[i] = to_half(value);
  else ((float *)data)[i] = value;
}

int64_t elements(const tensor *t) { return t->dims[N] * t->dims[C] * t->dims[H] * t->dims[W]; }

void place(const tensor *t, int64_t i, int64_t at[4]) {
  at[C] = i % t->dims[C], i /= t->dims[C];
  at[W] = i % t->dims[W], i /= t->dims[W];
  at[H] = i % t->dims[H], at[N] = i / t->dims[H];
}

static const char *reason = "";
int refuse(int status, const char *why) { return reason = why, status; }
const char *cudnnGetErrorString(int status) {
  return status >= 5000 ? "EXECUTION_FAILED" : status >= 3000 ? "NOT_SUPPORTED" : "BAD_PARAM";
}
void cudnnGetLastErrorString(char *text, size_t size) { snprintf(text, size, "%s", reason); }
size_t cudnnGetVersion(void) { return 91300; }
size_t cudnnGetCudartVersion(void) { return 13000; }

void note(const char *format, ...) {
  const char *path = getenv("VICREG_STANDIN_LOG");
  FILE *file = path ? fopen(path, "a") : NULL;
  if (file == NULL) return;
  va_list arguments;
  va_start(arguments, format);
  vfprintf(file, format, arguments);
  va_end(arguments);
  fclose(file);
}

static void *cudart(const char *name) { return dlsym(dlopen("libcudart.so.13", RTLD_NOW | RTLD_NOLOAD), name); }

void take_time(float ms) {
  static float *clock;
  if (clock == NULL) clock = cudart("standin_clock");
  *clock += ms;
}

typedef struct {
  void *stream;
} handle;

void begin(const void *h) {
  static int (*flush)(void *);
  if (flush == NULL) flush = cudart("cudaStreamQuery");
  flush(((const handle *)h)->stream);
}

int cudnnCreate(handle **h) { return *h = calloc(1, sizeof **h), SUCCESS; }
int cudnnDestroy(handle *h) { return free(h), SUCCESS; }
int cudnnSetStream(handle *h, void *stream) { return h->stream = stream, SUCCESS; }
int cudnnGetStream(handle *h, void **stream) { return *stream = h->stream, SUCCESS; }

int cudnnCreateTensorDescriptor(tensor **t) { return *t = calloc(1, sizeof **t), SUCCESS; }
int cudnnDestroyTensorDescriptor(tensor *t) { return free(t), SUCCESS; }
int cudnnSetTensor4dDescriptor(tensor *t, int format, int type, int n, int c, int h, int w) {
  if (format != 1) return refuse(NOT_SUPPORTED, "not channels last");
  *t = (tensor){type, {n, c, h, w}, {(int64_t)c * h * w, 1, (int64_t)w * c, c}};
  return SUCCESS;
}

static int same(const tensor *a, const tensor *b) { return memcmp(a, b, sizeof *a) == 0; }

#define EACH(t) for (int64_t i = 0, at[4]; i < elements(t) && (place(t, i, at), 1); i++)
#define AT at[N], at[C], at[H], at[W]

// Only alpha 1 and beta 0 are asked for.
static int plain(const float *alpha, const float *beta) { return *alpha == 1 && *beta == 0; }

enum { LARGEST = 0, NOT_OURS = -1 };
typedef struct {
  int mode, kernel[2], pads[2], strides[2];
} pooling;
int cudnnCreatePoolingDescriptor(pooling **p) { return *p = calloc(1, sizeof **p), SUCCESS; }
int cudnnDestroyPoolingDescriptor(pooling *p) { return free(p), SUCCESS; }
int cudnnSetPooling2dDescriptor(pooling *p, int mode, int nan, int kh, int kw, int ph, int pw, int sh, int sw) {
  *p = (pooling){mode, {kh, kw}, {ph, pw}, {sh, sw}};
  return mode == LARGEST ? SUCCESS : refuse(NOT_SUPPORTED, "not the largest");
}

// largest finds the first place of a window that holds its largest element.
static int64_t largest(const pooling *p, const tensor *xd, const void *x, const int64_t at[4]) {
  int64_t best = -1;
  double most = 0;
  for (int k = 0; k < p->kernel[0] * p->kernel[1]; k++) {
    int64_t h = at[H] * p->strides[0] - p->pads[0] + k / p->kernel[1],
            w = at[W] * p->strides[1] - p->pads[1] + k % p->kernel[1];
    if (h < 0 || w < 0 || h >= xd->dims[H] || w >= xd->dims[W]) continue;
    double v = get(xd, x, at[N], at[C], h, w);
    if (best < 0 || v > most) best = h * xd->dims[W] + w, most = v;
  }
  return best;
}

static int fits(const pooling *p, const tensor *xd, const tensor *yd) {
  for (int i = 0; i < 2; i++)
    if (yd->dims[H + i] != (xd->dims[H + i] + 2 * p->pads[i] - p->kernel[i]) / p->strides[i] + 1) return 0;
  return xd->dims[N] == yd->dims[N] && xd->dims[C] == yd->dims[C] && xd->type == yd->type;
}

int cudnnPoolingForward(handle *h, pooling *p, const float *alpha, const tensor *xd, const void *x, const float *beta,
                        const tensor *yd, void *y) {
  begin(h);
  if (p->mode == NOT_OURS) return SUCCESS;
  if (!fits(p, xd, yd) || !plain(alpha, beta)) return refuse(BAD_PARAM, "pooling");
  EACH(yd) {
    int64_t from = largest(p, xd, x, at);
    put(yd, y, get(xd, x, at[N], at[C], from / xd->dims[W], from % xd->dims[W]), AT);
  }
  return SUCCESS;
}

int cudnnPoolingBackward(handle *h, pooling *p, const float *alpha, const tensor *yd, const void *y, const tensor *dyd,
                         const void *dy, const tensor *xd, const void *x, const float *beta, const tensor *dxd,
                         void *dx) {
  begin(h);
  if (!fits(p, xd, yd) || !plain(alpha, beta) || !same(yd, dyd) || !same(xd, dxd))
    return refuse(BAD_PARAM, "gradient of pooling");
  double *sum = calloc(elements(xd), sizeof *sum);
#define PLANE(n, c) (((n) * xd->dims[C] + (c)) * xd->dims[H] * xd->dims[W])
  EACH(yd) sum[PLANE(at[N], at[C]) + largest(p, xd, x, at)] += get(dyd, dy, AT);
  EACH(dxd) put(dxd, dx, sum[PLANE(at[N], at[C]) + at[H] * xd->dims[W] + at[W]], AT);
  free(sum);
  return SUCCESS;
}

// What the runtime's own kernels ask for is not computed.
int cudnnSetTensorNdDescriptor(tensor *t) { return SUCCESS; }
int cudnnBatchNormalizationForwardInference(handle *h) { return SUCCESS; }
int cudnnSetPoolingNdDescriptor(pooling *p) { return p->mode = NOT_OURS, SUCCESS; }
