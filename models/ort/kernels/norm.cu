// Batch normalisation by the statistics of the batch, with a residual and a ReLU behind
// it (Ioffe and Szegedy, 2015).

#define RESIDENT 3
#define AHEAD 4 // rows that a thread loads before it computes

// norm_sums gives mean, variance and 1/sqrt(variance + eps). The sums are of what differs
// from the first row: of numbers far from zero their squares would leave no digits.
KERNEL(norm_sums, batch_norm) {
  __shared__ float shared[DOWN][2 * STRIP];
  __shared__ unsigned last;
  const place p = here(&a);
  float origin[VECTOR], sum[VECTOR], square[VECTOR];
  for (int i = 0; i < VECTOR; i++) origin[i] = sum[i] = square[i] = 0;
  if (p.active) unpack(load(&a, a.x, p, 0), origin);
  for (int64 row = p.from; row < p.end; row += DOWN * AHEAD) {
    vector x[AHEAD];
#pragma unroll
    for (int k = 0; k < AHEAD; k++)
      if (row + k * DOWN < p.end) x[k] = load(&a, a.x, p, row + k * DOWN);
#pragma unroll
    for (int k = 0; k < AHEAD; k++) {
      if (row + k * DOWN >= p.end) break;
      float f[VECTOR];
      unpack(x[k], f);
      for (int i = 0; i < VECTOR; i++) {
        const float d = f[i] - origin[i];
        sum[i] += d;
        square[i] = fmaf(d, d, square[i]);
      }
    }
  }
  float first, second;
  if (!publish(&a, &last, total(shared, sum, square)) || !gather(&a, shared, &first, &second)) return;
  const int channel = blockIdx.x * STRIP + threadIdx.x;
  const float mean = first / a.rows, variance = fmaxf(second / a.rows - mean * mean, 0);
  a.mean[channel] = number(a.x[channel]) + mean;
  a.variance[channel] = variance;
  a.istd[channel] = 1 / sqrtf(variance + a.eps);
}

// norm_apply gives y, and the mask where there is room for it.
KERNEL(norm_apply, batch_norm) {
  const place p = here(&a);
  float scale[VECTOR], shift[VECTOR];
  affine(&a, p, scale, shift);
  for (int64 row = p.from; row < p.end; row += DOWN * AHEAD) {
    vector x[AHEAD], z[AHEAD];
#pragma unroll
    for (int k = 0; k < AHEAD; k++)
      if (row + k * DOWN < p.end) {
        x[k] = load(&a, a.x, p, back(&a, p, row + k * DOWN));
        if (a.z) z[k] = load(&a, a.z, p, back(&a, p, row + k * DOWN));
      }
#pragma unroll
    for (int k = 0; k < AHEAD; k++) {
      if (row + k * DOWN >= p.end) break;
      const int64 at = back(&a, p, row + k * DOWN);
      float f[VECTOR], residual[VECTOR];
      unsigned passed = 0;
      unpack(x[k], f);
      if (a.z) unpack(z[k], residual);
      for (int i = 0; i < VECTOR; i++) {
        f[i] = fmaf(f[i], scale[i], shift[i]);
        if (a.z) f[i] += residual[i];
        passed |= (unsigned)(f[i] > 0) << i;
        if (a.relu && !(f[i] > 0)) f[i] = f[i] != f[i] ? f[i] : 0; // what is no number stays
      }
      store(&a, a.y, p, at, f);
      if (a.mask) *mask_at(&a, p, at) = passed;
    }
  }
}
