// Sums of many pairs of tensors of the activations' type, in float32.

#define RESIDENT 4
#define TENSORS 112
#define CHUNK (THREADS * AHEAD * VECTOR) // elements per block, all loaded at once

typedef struct {
  const T *x[TENSORS], *z[TENSORS];
  float *y[TENSORS];
  int64 count[TENSORS];
  int first[TENSORS + 1]; // the first block of each tensor, then the number of blocks
  int tensors;
} sums;

// add stores the sum of two vectors in y.
DEVICE void add(vector x, vector z, float4 *y) {
  float f[VECTOR], g[VECTOR];
  unpack(x, f);
  unpack(z, g);
#pragma unroll
  for (int i = 0; i < VECTOR; i += 4) y[i / 4] = make_float4(f[i] + g[i], f[i + 1] + g[i + 1], f[i + 2] + g[i + 2], f[i + 3] + g[i + 3]);
}

KERNEL(sums_all, sums) {
  const int t = tensor_of(a.first, a.tensors);
  const int64 from = (int64)((int)blockIdx.x - a.first[t]) * CHUNK, left = a.count[t] - from;
  const int n = left < CHUNK ? left : CHUNK;
  const T *const x = a.x[t] + from, *const z = a.z[t] + from;
  float *const y = a.y[t] + from;
  const int vectors = aligned(x) && aligned(z) && aligned(y) ? n / VECTOR : 0;
  vector p[AHEAD], q[AHEAD];
#pragma unroll
  for (int k = 0; k < AHEAD; k++) {
    const int i = threadIdx.x + k * THREADS;
    if (i >= vectors) break;
    p[k] = ((const vector *)x)[i];
    q[k] = ((const vector *)z)[i];
  }
#pragma unroll
  for (int k = 0; k < AHEAD; k++) {
    const int i = threadIdx.x + k * THREADS;
    if (i >= vectors) break;
    add(p[k], q[k], (float4 *)(y + (int64)i * VECTOR));
  }
  for (int i = VECTOR * vectors + threadIdx.x; i < n; i += THREADS) y[i] = number(x[i]) + number(z[i]);
}
