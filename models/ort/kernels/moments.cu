// The statistics of a normalisation from what a convolution has added up as it wrote: of each
// channel of each group the sum of its numbers and of their squares.

#define RESIDENT 8

typedef struct {
  const float *sum, *squares;
  float *mean, *variance, *istd;
  int count;  // of channels in all groups
  float rows; // of a group
  float eps;
} moments;

KERNEL(moments_of_sums, moments) {
  const int i = blockIdx.x * THREADS + threadIdx.x;
  if (i >= a.count) return;
  const float mean = a.sum[i] / a.rows, spread = a.squares[i] / a.rows - mean * mean;
  const float variance = spread < 0 ? 0 : spread; // what is no number stays none
  a.mean[i] = mean;
  a.variance[i] = variance;
  a.istd[i] = 1 / sqrtf(variance + a.eps);
}
