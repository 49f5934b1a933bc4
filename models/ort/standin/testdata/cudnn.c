// Stands in for libcudnn.so.9: its ops library, computed by plain loops in host memory.
// Signatures and numbers are from NVIDIA's documentation of cuDNN 9; it rejects what cuDNN
// rejects as far as the code under test depends on it.
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

static double of_bfloat16(uint16_t bits) {
  float value;
  return memcpy(&value, &(uint32_t){(uint32_t)bits << 16}, sizeof value), value;
}

static uint16_t to_bfloat16(double value) {
  int exponent;
  frexp(value, &exponent);
  int place = exponent - 8 < -133 ? -133 : exponent - 8;
  float nearest = isfinite(value) ? ldexp(rint(ldexp(value, -place)), place) : value; // ties to even
  uint32_t bits;
  return memcpy(&bits, &nearest, sizeof bits), bits >> 16;
}

double get(const tensor *t, const void *data, int64_t n, int64_t c, int64_t h, int64_t w) {
  int64_t i = n * t->strides[N] + c * t->strides[C] + h * t->strides[H] + w * t->strides[W];
  switch (t->type) {
    case HALF: return of_half(((const uint16_t *)data)[i]);
    case BFLOAT16: return of_bfloat16(((const uint16_t *)data)[i]);
    default: return ((const float *)data)[i];
  }
}

void put(const tensor *t, void *data, double value, int64_t n, int64_t c, int64_t h, int64_t w) {
  int64_t i = n * t->strides[N] + c * t->strides[C] + h * t->strides[H] + w * t->strides[W];
  switch (t->type) {
    case HALF: ((uint16_t *)data)[i] = to_half(value); break;
    case BFLOAT16: ((uint16_t *)data)[i] = to_bfloat16(value); break;
    default: ((float *)data)[i] = value;
  }
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

// What the runtime's own kernels request is not computed.
int cudnnSetTensorNdDescriptor(tensor *t) { return SUCCESS; }
int cudnnBatchNormalizationForwardInference(handle *h) { return SUCCESS; }
