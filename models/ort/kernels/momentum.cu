// A step of gradient descent with momentum, for many variables at once.

#define RESIDENT 4
#define TENSORS 72
#define CHUNK (THREADS * AHEAD * 4) // elements per block, all loaded at once

typedef struct {
  const float *p[TENSORS], *g[TENSORS], *m[TENSORS];
  float *next_p[TENSORS], *next_m[TENSORS];
  int64 count[TENSORS];
  int first[TENSORS + 1]; // the first block of each tensor, then the number of blocks
  int tensors;
  const float *decay, *rate; // per tensor
  const float *lr;
  float momentum;
} momentum;

// rates are the factors of one variable.
typedef struct {
  float decay, rate, lr, momentum;
} rates;

// step updates p and m in place.
DEVICE void step(const rates *r, float *p, float g, float *m) {
  const float d = r->rate * fmaf(r->decay, *p, g);
  *m = r->momentum != 0 ? fmaf(r->momentum, *m, d) : d;
  *p = fmaf(-r->lr, *m, *p);
}

KERNEL(momentum_step, momentum) {
  const int t = tensor_of(a.first, a.tensors);
  const int64 from = (int64)(blockIdx.x - a.first[t]) * CHUNK, left = a.count[t] - from;
  const int n = left < CHUNK ? left : CHUNK;
  const rates r = {a.decay[t], a.rate[t], *a.lr, a.momentum};
  const float *const p = a.p[t] + from, *const g = a.g[t] + from, *const m = a.m[t] + from;
  float *const next_p = a.next_p[t] + from, *const next_m = a.next_m[t] + from;
  const int vectors = aligned(p) && aligned(g) && aligned(m) && aligned(next_p) && aligned(next_m) ? n / 4 : 0;
  float4 x[AHEAD], y[AHEAD], z[AHEAD];
#pragma unroll
  for (int k = 0; k < AHEAD; k++) {
    const int i = threadIdx.x + k * THREADS;
    if (i >= vectors) break;
    x[k] = ((const float4 *)p)[i];
    y[k] = ((const float4 *)g)[i];
    z[k] = ((const float4 *)m)[i];
  }
#pragma unroll
  for (int k = 0; k < AHEAD; k++) {
    const int i = threadIdx.x + k * THREADS;
    if (i >= vectors) break;
    step(&r, &x[k].x, y[k].x, &z[k].x);
    step(&r, &x[k].y, y[k].y, &z[k].y);
    step(&r, &x[k].z, y[k].z, &z[k].z);
    step(&r, &x[k].w, y[k].w, &z[k].w);
    ((float4 *)next_p)[i] = x[k];
    ((float4 *)next_m)[i] = z[k];
  }
  for (int i = 4 * vectors + threadIdx.x; i < n; i += THREADS) {
    float pi = p[i], mi = m[i];
    step(&r, &pi, g[i], &mi);
    next_p[i] = pi, next_m[i] = mi;
  }
}
