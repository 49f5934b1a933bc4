// The statistics of a normalisation from the sums that a convolution accumulated as it wrote: per
// channel and group, those of its elements and of their squares.

#define RESIDENT 8

typedef struct {
  const float *sum, *squares;
  float *mean, *variance, *istd;
  int count;  // channels in all groups
  float rows; // per group
  float eps;
} moments;

KERNEL(moments_of_sums, moments) {
  const int i = blockIdx.x * THREADS + threadIdx.x;
  if (i >= a.count) return;
  const float mean = a.sum[i] / a.rows, spread = a.squares[i] / a.rows - mean * mean;
  const float variance = spread < 0 ? 0 : spread; // NaN stays NaN
  a.mean[i] = mean;
  a.variance[i] = variance;
  a.istd[i] = 1 / sqrtf(variance + a.eps);
}
