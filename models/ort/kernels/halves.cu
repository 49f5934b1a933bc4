// Many float32 tensors converted to the activations' type, rounded to nearest. VECTOR is 4.

#define RESIDENT 4
#define TENSORS 144
#define CHUNK (THREADS * AHEAD * VECTOR) // elements per block, all loaded at once

typedef struct {
  const float *x[TENSORS];
  T *y[TENSORS];
  int64 count[TENSORS];
  int first[TENSORS + 1]; // the first block of each tensor, then the number of blocks
  int tensors;
} halves;

KERNEL(halves_all, halves) {
  const int t = tensor_of(a.first, a.tensors);
  const int64 from = (int64)((int)blockIdx.x - a.first[t]) * CHUNK, left = a.count[t] - from;
  const int n = left < CHUNK ? left : CHUNK;
  const float *const x = a.x[t] + from;
  T *const y = a.y[t] + from;
  const int vectors = aligned(x) && aligned(y) ? n / VECTOR : 0;
  float4 p[AHEAD];
#pragma unroll
  for (int k = 0; k < AHEAD; k++) {
    const int i = threadIdx.x + k * THREADS;
    if (i < vectors) p[k] = ((const float4 *)x)[i];
  }
#pragma unroll
  for (int k = 0; k < AHEAD; k++) {
    const int i = threadIdx.x + k * THREADS;
    if (i >= vectors) break;
    const float f[VECTOR] = {p[k].x, p[k].y, p[k].z, p[k].w};
    ((vector *)y)[i] = pack(f);
  }
  for (int i = VECTOR * vectors + threadIdx.x; i < n; i += THREADS) y[i] = narrow(x[i]);
}
