// Weighted sums of up to SOURCES tensors each, for many small ones at once.

#define RESIDENT 4
#define TENSORS 72
#define SOURCES 3
#define CHUNK (THREADS * AHEAD) // elements per block

typedef struct {
  const float *x[SOURCES][TENSORS];
  float *y[TENSORS];
  int64 count[TENSORS];
  int first[TENSORS + 1]; // the first block of each tensor, then the number of blocks
  int tensors, sources;
  const float *weights; // [sources, stride], starting at the launch's first tensor
  int64 stride;
} blend;

KERNEL(blend_all, blend) {
  const int t = tensor_of(a.first, a.tensors);
  const int64 from = (int64)(blockIdx.x - a.first[t]) * CHUNK;
  float sum[AHEAD];
#pragma unroll
  for (int k = 0; k < AHEAD; k++) sum[k] = 0;
#pragma unroll
  for (int s = 0; s < SOURCES; s++) {
    if (s >= a.sources) break;
    const float weight = a.weights[s * a.stride + t];
#pragma unroll
    for (int k = 0; k < AHEAD; k++) {
      const int64 i = from + threadIdx.x + k * THREADS;
      if (i < a.count[t]) sum[k] = fmaf(weight, a.x[s][t][i], sum[k]);
    }
  }
#pragma unroll
  for (int k = 0; k < AHEAD; k++) {
    const int64 i = from + threadIdx.x + k * THREADS;
    if (i < a.count[t]) a.y[t][i] = sum[k];
  }
}
