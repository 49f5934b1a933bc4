// Batch normalisation by the statistics of the batch, followed by an optional residual and ReLU
// (Ioffe and Szegedy, 2015).

#define RESIDENT 3
#define AHEAD 4 // rows that a thread loads before it computes

// norm_sums computes mean, variance and 1/sqrt(variance + eps). It sums differences from the
// group's first row: the squares of values far from zero would leave the variance no digits.
KERNEL(norm_sums, batch_norm) {
  __shared__ float shared[DOWN][2 * STRIP];
  __shared__ unsigned last;
  const place p = here(&a);
  float origin[VECTOR], sum[VECTOR], square[VECTOR];
  for (int i = 0; i < VECTOR; i++) origin[i] = sum[i] = square[i] = 0;
  if (p.active) unpack(*(const vector *)(a.x + first_row(&a) * a.channels + p.channel), origin);
  for (int row = p.first; row < p.rows; row += DOWN * AHEAD) {
    vector x[AHEAD];
#pragma unroll
    for (int k = 0; k < AHEAD; k++)
      if (row + k * DOWN < p.rows) x[k] = load(&a, a.x, p, row + k * DOWN);
#pragma unroll
    for (int k = 0; k < AHEAD; k++) {
      if (row + k * DOWN >= p.rows) break;
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
  const int64 at = of_group(&a, channel);
  const float mean = first / a.rows, spread = second / a.rows - mean * mean;
  const float variance = spread < 0 ? 0 : spread; // NaN stays NaN
  a.mean[at] = number(a.x[first_row(&a) * a.channels + channel]) + mean;
  a.variance[at] = variance;
  a.istd[at] = 1 / sqrtf(variance + a.eps);
}

// norm_apply computes y = x*scale + (beta - mean*scale), and the mask if there is one. For values
// a thousand times as far from zero as from each other that keeps four digits in float32.
KERNEL(norm_apply, batch_norm) {
  const place p = here(&a);
  float scale[VECTOR], shift[VECTOR];
  affine(&a, p, scale, shift);
  for (int row = p.first; row < p.rows; row += DOWN * AHEAD) {
    vector x[AHEAD], z[AHEAD];
#pragma unroll
    for (int k = 0; k < AHEAD; k++)
      if (row + k * DOWN < p.rows) {
        x[k] = load(&a, a.x, p, back(p, row + k * DOWN));
        if (a.z) z[k] = load(&a, a.z, p, back(p, row + k * DOWN));
      }
#pragma unroll
    for (int k = 0; k < AHEAD; k++) {
      if (row + k * DOWN >= p.rows) break;
      const int at = back(p, row + k * DOWN);
      float f[VECTOR], residual[VECTOR];
      unsigned passed = 0;
      unpack(x[k], f);
      if (a.z) unpack(z[k], residual);
      for (int i = 0; i < VECTOR; i++) {
        f[i] = fmaf(f[i], scale[i], shift[i]);
        if (a.z) f[i] += residual[i];
        passed |= (unsigned)(f[i] > 0) << i;
        if (a.relu && !(f[i] > 0)) f[i] = f[i] != f[i] ? f[i] : 0; // NaN passes
      }
      store(&a, a.y, p, at, f);
      if (a.mask) *mask_at(&a, p, at) = passed;
    }
  }
}
