// The gradients of batch normalisation followed by an optional residual and ReLU. They load two
// or three tensors, and keep more values, so a thread has fewer channels here.

#define RESIDENT (HALF ? 4 : 3)
#define AHEAD 3 // rows that a thread loads before it computes

// group is what a thread loads at once.
typedef struct {
  vector x[AHEAD], dy[AHEAD], more[AHEAD];
  unsigned passed[AHEAD];
} group;

// fetch loads a row into place k of g: x, dy and, if present, more and the mask.
DEVICE void fetch(const batch_norm *a, place p, int row, const T *dy, const T *more, const void *mask, group *g, int k) {
  g->x[k] = load(a, a->x, p, row);
  g->dy[k] = load(a, dy, p, row);
  if (more) g->more[k] = load(a, more, p, row);
  if (mask) g->passed[k] = *mask_at(a, p, row) >> p.channel % MASKED;
}

// arrived computes the gradient with respect to y: dy, plus more if present.
DEVICE void arrived(const group *g, int k, const T *more, float *f) {
  unpack(g->dy[k], f);
  if (!more) return;
  float rest[VECTOR];
  unpack(g->more[k], rest);
  for (int i = 0; i < VECTOR; i++) f[i] += rest[i];
}

// pass zeroes what the ReLU has not passed. Without a mask, that is recomputed.
DEVICE void pass(const batch_norm *a, unsigned passed, const float *x, const float *scale, const float *shift, float *g) {
  if (!a->relu) return;
  for (int i = 0; i < VECTOR; i++)
    if (a->mask ? !(passed >> i & 1) : !(fmaf(x[i], scale[i], shift[i]) > 0)) g[i] = 0;
}

// norm_grad_sums computes the gradients with respect to gamma and beta by group, and dz if there
// is one.
KERNEL(norm_grad_sums, batch_norm) {
  __shared__ float shared[DOWN][2 * STRIP];
  __shared__ unsigned last;
  const place p = here(&a);
  float scale[VECTOR], shift[VECTOR], mean[VECTOR], sum[VECTOR], dot[VECTOR];
  affine(&a, p, scale, shift);
  for (int i = 0; i < VECTOR; i++) {
    mean[i] = p.active ? a.mean[of_group(&a, p.channel + i)] : 0;
    sum[i] = dot[i] = 0;
  }
  for (int row = p.first; row < p.rows; row += DOWN * AHEAD) {
    group all;
#pragma unroll
    for (int k = 0; k < AHEAD; k++)
      if (row + k * DOWN < p.rows) fetch(&a, p, row + k * DOWN, a.dy, a.more, a.mask, &all, k);
#pragma unroll
    for (int k = 0; k < AHEAD; k++) {
      if (row + k * DOWN >= p.rows) break;
      float x[VECTOR], g[VECTOR];
      unpack(all.x[k], x);
      arrived(&all, k, a.more, g);
      pass(&a, all.passed[k], x, scale, shift, g);
      if (a.dz) store(&a, a.dz, p, row + k * DOWN, g);
      for (int i = 0; i < VECTOR; i++) {
        sum[i] += g[i];
        dot[i] = fmaf(g[i], x[i] - mean[i], dot[i]);
      }
    }
  }
  float first, second;
  if (!publish(&a, &last, total(shared, sum, dot)) || !gather(&a, shared, &first, &second)) return;
  const int64 at = of_group(&a, blockIdx.x * STRIP + threadIdx.x);
  a.group_dbeta[at] = first;
  a.group_dgamma[at] = second * a.istd[at];
}

// add_groups sums the gradients of gamma and beta over the groups, in one block of each strip.
DEVICE void add_groups(const batch_norm *a) {
  const int channel = blockIdx.x * STRIP + threadIdx.x;
  if (blockIdx.y > 0 || blockIdx.z > 0 || threadIdx.x >= STRIP || channel >= a->channels) return;
  float dgamma = 0, dbeta = 0;
  for (int i = 0; i < a->groups; i++) {
    dgamma += a->group_dgamma[(int64)i * a->channels + channel];
    dbeta += a->group_dbeta[(int64)i * a->channels + channel];
  }
  a->dgamma[channel] = dgamma;
  a->dbeta[channel] = dbeta;
}

// norm_grad_apply computes dx = scale*(g - dbeta/rows - (x - mean)*istd*dgamma/rows), where g is
// the part of dy that the ReLU has passed, and dbeta and dgamma are the group's.
KERNEL(norm_grad_apply, batch_norm) {
  add_groups(&a);
  const place p = here(&a);
  float scale[VECTOR], shift[VECTOR], slope[VECTOR], level[VECTOR];
  affine(&a, p, scale, shift);
  for (int i = 0; i < VECTOR; i++) {
    const int64 c = of_group(&a, p.channel + i);
    slope[i] = p.active ? -scale[i] * a.istd[c] * a.group_dgamma[c] / a.rows : 0;
    level[i] = p.active ? -scale[i] * a.group_dbeta[c] / a.rows - slope[i] * a.mean[c] : 0;
  }
  const T *const dy = a.dz ? a.dz : a.dy, *const more = a.dz ? 0 : a.more;
  const void *const mask = a.dz ? 0 : a.mask;
  for (int row = p.first; row < p.rows; row += DOWN * AHEAD) {
    group all;
#pragma unroll
    for (int k = 0; k < AHEAD; k++)
      if (row + k * DOWN < p.rows) fetch(&a, p, back(p, row + k * DOWN), dy, more, mask, &all, k);
#pragma unroll
    for (int k = 0; k < AHEAD; k++) {
      if (row + k * DOWN >= p.rows) break;
      float x[VECTOR], g[VECTOR];
      unpack(all.x[k], x);
      arrived(&all, k, more, g);
      if (!a.dz) pass(&a, all.passed[k], x, scale, shift, g);
      for (int i = 0; i < VECTOR; i++) g[i] = fmaf(scale[i], g[i], fmaf(slope[i], x[i], level[i]));
      store(&a, a.dx, p, back(p, row + k * DOWN), g);
    }
  }
}
