// The sums of p*p, g*g and p*g for many pairs of tensors p and g. The order of summation is
// fixed: by chunks, each within a block, and then over the chunks of each tensor.

#define RESIDENT 4
#define TENSORS 128
#define CHUNK 8192 // elements per block

typedef struct {
  const float *p[TENSORS], *g[TENSORS];
  int64 count[TENSORS];   // elements of each tensor
  int first[TENSORS + 1]; // the first block of each tensor, then the number of blocks
  int tensors;
  int64 stride; // between rows of dots
  float *sums;  // [3, blocks]
  float *dots;  // [3, stride], starting at the launch's first tensor
} dots;

// three holds the three sums.
typedef struct {
  float pp, gg, pg;
} three;

DEVICE void take(three *s, float p, float g) {
  s->pp = fmaf(p, p, s->pp);
  s->gg = fmaf(g, g, s->gg);
  s->pg = fmaf(p, g, s->pg);
}

// whole reduces the sums over all threads of a block; only the first thread has the result.
DEVICE three whole(float (*shared)[THREADS], three s) {
  const int i = threadIdx.x;
  shared[0][i] = s.pp, shared[1][i] = s.gg, shared[2][i] = s.pg;
  for (int half = THREADS / 2; half > 0; half /= 2) {
    __syncthreads();
    if (i < half)
      for (int k = 0; k < 3; k++) shared[k][i] += shared[k][i + half];
  }
  s.pp = shared[0][0], s.gg = shared[1][0], s.pg = shared[2][0];
  return s;
}

KERNEL(dots_chunks, dots) {
  __shared__ float shared[3][THREADS];
  const int t = tensor_of(a.first, a.tensors);
  const int64 from = (int64)(blockIdx.x - a.first[t]) * CHUNK, left = a.count[t] - from;
  const int n = left < CHUNK ? left : CHUNK;
  const float *const p = a.p[t] + from, *const g = a.g[t] + from;
  const int vectors = aligned(p) && aligned(g) ? n / 4 : 0;
  three s = {0, 0, 0};
  for (int i = threadIdx.x; i < vectors; i += THREADS * AHEAD) {
    float4 x[AHEAD], y[AHEAD];
#pragma unroll
    for (int k = 0; k < AHEAD; k++)
      if (i + k * THREADS < vectors) {
        x[k] = ((const float4 *)p)[i + k * THREADS];
        y[k] = ((const float4 *)g)[i + k * THREADS];
      }
#pragma unroll
    for (int k = 0; k < AHEAD; k++)
      if (i + k * THREADS < vectors) {
        take(&s, x[k].x, y[k].x);
        take(&s, x[k].y, y[k].y);
        take(&s, x[k].z, y[k].z);
        take(&s, x[k].w, y[k].w);
      }
  }
  for (int i = 4 * vectors + threadIdx.x; i < n; i += THREADS) take(&s, p[i], g[i]);
  s = whole(shared, s);
  const int64 blocks = a.first[a.tensors];
  if (threadIdx.x == 0)
    a.sums[blockIdx.x] = s.pp, a.sums[blocks + blockIdx.x] = s.gg, a.sums[2 * blocks + blockIdx.x] = s.pg;
}

// dots_total has one block per tensor.
KERNEL(dots_total, dots) {
  __shared__ float shared[3][THREADS];
  const int t = blockIdx.x, end = a.first[t + 1];
  const int64 blocks = a.first[a.tensors];
  three s = {0, 0, 0};
#pragma unroll 4
  for (int i = a.first[t] + threadIdx.x; i < end; i += THREADS)
    s.pp += a.sums[i], s.gg += a.sums[blocks + i], s.pg += a.sums[2 * blocks + i];
  s = whole(shared, s);
  if (threadIdx.x == 0) a.dots[t] = s.pp, a.dots[a.stride + t] = s.gg, a.dots[2 * a.stride + t] = s.pg;
}
