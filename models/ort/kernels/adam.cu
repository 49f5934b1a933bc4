// A step of Adam with decoupled weight decay, for many variables at once.

#define RESIDENT 4
#define TENSORS 56
#define PAIR 2                     // vectors that a thread loads from each of four tensors
#define CHUNK (THREADS * PAIR * 4) // elements per block, all loaded at once

typedef struct {
  const float *p[TENSORS], *g[TENSORS], *m[TENSORS], *v[TENSORS];
  float *next_p[TENSORS], *next_m[TENSORS], *next_v[TENSORS];
  int64 count[TENSORS];
  int first[TENSORS + 1]; // the first block of each tensor, then the number of blocks
  int tensors;
  const float *decay; // per tensor
  const float *rate, *correct, *inv;
  float beta1, beta2, fresh1, fresh2, eps; // fresh: the weight of a new gradient, 1 - beta
} adam;

// rates are the factors of one variable.
typedef struct {
  float decay, rate, correct, inv, beta1, beta2, fresh1, fresh2, eps;
} rates;

// step updates p, m and v in place.
DEVICE void step(const rates *r, float *p, float g, float *m, float *v) {
  const float d = g * r->inv;
  *m = fmaf(r->beta1, *m, r->fresh1 * d);
  *v = fmaf(r->beta2, *v, r->fresh2 * (d * d));
  const float root = sqrtf(*v * r->correct) + r->eps;
  *p = fmaf(-r->rate, *m / root, fmaf(-r->decay, *p, *p));
}

KERNEL(adam_step, adam) {
  const int t = tensor_of(a.first, a.tensors);
  const int64 from = (int64)(blockIdx.x - a.first[t]) * CHUNK, left = a.count[t] - from;
  const int n = left < CHUNK ? left : CHUNK;
  const rates r = {a.decay[t], *a.rate, *a.correct, *a.inv, a.beta1, a.beta2, a.fresh1, a.fresh2, a.eps};
  const float *const p = a.p[t] + from, *const g = a.g[t] + from, *const m = a.m[t] + from, *const v = a.v[t] + from;
  float *const next_p = a.next_p[t] + from, *const next_m = a.next_m[t] + from, *const next_v = a.next_v[t] + from;
  const int whole = aligned(p) && aligned(g) && aligned(m) && aligned(v) && aligned(next_p) && aligned(next_m) && aligned(next_v);
  const int vectors = whole ? n / 4 : 0;
  float4 w[PAIR], x[PAIR], y[PAIR], z[PAIR];
#pragma unroll
  for (int k = 0; k < PAIR; k++) {
    const int i = threadIdx.x + k * THREADS;
    if (i >= vectors) break;
    w[k] = ((const float4 *)p)[i];
    x[k] = ((const float4 *)g)[i];
    y[k] = ((const float4 *)m)[i];
    z[k] = ((const float4 *)v)[i];
  }
#pragma unroll
  for (int k = 0; k < PAIR; k++) {
    const int i = threadIdx.x + k * THREADS;
    if (i >= vectors) break;
    step(&r, &w[k].x, x[k].x, &y[k].x, &z[k].x);
    step(&r, &w[k].y, x[k].y, &y[k].y, &z[k].y);
    step(&r, &w[k].z, x[k].z, &y[k].z, &z[k].z);
    step(&r, &w[k].w, x[k].w, &y[k].w, &z[k].w);
    ((float4 *)next_p)[i] = w[k];
    ((float4 *)next_m)[i] = y[k];
    ((float4 *)next_v)[i] = z[k];
  }
  for (int i = 4 * vectors + threadIdx.x; i < n; i += THREADS) {
    float pi = p[i], mi = m[i], vi = v[i];
    step(&r, &pi, g[i], &mi, &vi);
    next_p[i] = pi, next_m[i] = mi, next_v[i] = vi;
  }
}
