// Batch normalisation: what its two directions have in common. x is a matrix [rows,
// channels] with a row a pixel. A block has the rows of a chunk and a strip of channels,
// 128 bytes of each row; all blocks are on the device at once. The second pass over a
// tensor goes through each chunk backwards: what the first has read last may still be in
// the cache.

#if VECTOR == 1
#define ACROSS 8 // vectors of channels in a strip
#else
#define ACROSS (128 / BYTES)
#endif
#define DOWN (THREADS / ACROSS) // rows that a block looks at together
#define STRIP (ACROSS * VECTOR) // channels in a strip

// What of y the ReLU has passed is a byte for so many numbers.
#define MASKED (VECTOR == 1 ? 1 : HALF ? 8 : 4)

typedef struct {
  const T *x, *z, *dy, *more; // more: another part of dy, to be added; z and more may be none
  T *y, *dx, *dz;
  const float *gamma, *beta;
  float *mean, *variance, *istd, *dgamma, *dbeta;
  unsigned char *mask; // a bit a number of y: whether the ReLU has passed it
  float *sums;         // [chunks, 2, channels]
  unsigned *done;      // blocks of a strip that are done; 0 before and after
  int64 rows;
  int channels, chunk, chunks; // rows of a chunk, and how many there are
  float eps;
  int relu;
} batch_norm;

// place is where a thread works: its first channel, and its rows from, from + DOWN and
// so on, before end.
typedef struct {
  int64 from, end;
  int channel, active;
} place;

DEVICE place here(const batch_norm *a) {
  place p;
  p.from = (int64)blockIdx.y * a->chunk + threadIdx.x / ACROSS;
  p.end = ((int64)blockIdx.y + 1) * a->chunk;
  if (p.end > a->rows) p.end = a->rows;
  p.channel = (blockIdx.x * ACROSS + threadIdx.x % ACROSS) * VECTOR;
  p.active = p.channel < a->channels;
  if (!p.active) p.end = 0;
  return p;
}

// back is the row that stands where row does when the rows of a chunk are turned about.
DEVICE int64 back(const batch_norm *a, place p, int64 row) { return (int64)blockIdx.y * a->chunk + p.end - 1 - row; }

DEVICE vector load(const batch_norm *a, const T *x, place p, int64 row) {
  return *(const vector *)(x + row * a->channels + p.channel);
}

DEVICE void store(const batch_norm *a, T *x, place p, int64 row, const float *f) {
  *(vector *)(x + row * a->channels + p.channel) = pack(f);
}

DEVICE unsigned char *mask_at(const batch_norm *a, place p, int64 row) {
  return a->mask + (row * a->channels + p.channel) / MASKED;
}

// quad is QUAD sums; fresh loads them as another block has written them.
#if VECTOR == 1
typedef float quad;
DEVICE quad fresh(const float *at) { return __ldcg(at); }
DEVICE void add(float *sum, quad v) { sum[0] += v; }
#else
typedef float4 quad;
DEVICE quad fresh(const float *at) { return __ldcg((const float4 *)at); }
DEVICE void add(float *sum, quad v) { sum[0] += v.x, sum[1] += v.y, sum[2] += v.z, sum[3] += v.w; }
#endif

// total adds the two sums of each thread, of its channels, over the rows of the block.
// Thread i of the first 2*STRIP has one of them then: of channel i % STRIP of the strip.
DEVICE float total(float (*shared)[2 * STRIP], const float *first, const float *second) {
  const int across = threadIdx.x % ACROSS, down = threadIdx.x / ACROSS;
  for (int i = 0; i < VECTOR; i++) {
    shared[down][across * VECTOR + i] = first[i];
    shared[down][STRIP + across * VECTOR + i] = second[i];
  }
  __syncthreads();
  float sum = 0;
  if (threadIdx.x < 2 * STRIP)
    for (int i = 0; i < DOWN; i++) sum += shared[i][threadIdx.x];
  __syncthreads();
  return sum;
}

// The sums of a strip over all chunks are added by lanes of threads, each of which takes
// every LANES-th chunk and QUAD sums at once.
#if VECTOR == 1
#define QUAD 1
#else
#define QUAD 4
#endif
#define LANES (THREADS * QUAD / (2 * STRIP))
#define AT_ONCE 8

// publish writes the sums of a block, and returns whether those of all chunks of its
// strip are there now.
DEVICE int publish(const batch_norm *a, unsigned *last, float sum) {
  const int i = threadIdx.x, channel = blockIdx.x * STRIP + i % STRIP;
  if (i < 2 * STRIP && channel < a->channels)
    a->sums[(2 * (int64)blockIdx.y + i / STRIP) * a->channels + channel] = sum;
  __threadfence();
  __syncthreads();
  if (i == 0) *last = atomicAdd(&a->done[blockIdx.x], 1) == (unsigned)a->chunks - 1;
  __syncthreads();
  __threadfence();
  return *last;
}

// gather adds the sums of all chunks of a strip. Thread i < STRIP gets those of channel i
// of the strip; it returns whether the thread has a channel.
DEVICE int gather(const batch_norm *a, float (*shared)[2 * STRIP], float *first, float *second) {
  const int i = threadIdx.x % (2 * STRIP / QUAD) * QUAD, lane = threadIdx.x / (2 * STRIP / QUAD);
  const int channel = blockIdx.x * STRIP + i % STRIP, active = channel < a->channels;
  const float *const at = a->sums + (int64)(i / STRIP) * a->channels + channel;
  float sum[QUAD];
  for (int q = 0; q < QUAD; q++) sum[q] = 0;
  for (int c = lane; active && c < a->chunks; c += LANES * AT_ONCE) {
    quad v[AT_ONCE];
#pragma unroll
    for (int k = 0; k < AT_ONCE; k++)
      if (c + k * LANES < a->chunks) v[k] = fresh(at + 2 * (int64)(c + k * LANES) * a->channels);
#pragma unroll
    for (int k = 0; k < AT_ONCE; k++)
      if (c + k * LANES < a->chunks) add(sum, v[k]);
  }
  for (int q = 0; q < QUAD; q++) shared[lane][i + q] = sum[q];
  __syncthreads();
  if (threadIdx.x == 0) a->done[blockIdx.x] = 0;
  *first = *second = 0;
  for (int k = 0; threadIdx.x < STRIP && k < LANES; k++) {
    *first += shared[k][threadIdx.x];
    *second += shared[k][STRIP + threadIdx.x];
  }
  return threadIdx.x < STRIP && blockIdx.x * STRIP + threadIdx.x < a->channels;
}

// affine are the factor and the summand of the normalisation, computed alike forwards and
// backwards, so that the sign of a result is the same.
DEVICE void affine(const batch_norm *a, place p, float *scale, float *shift) {
  for (int i = 0; i < VECTOR; i++) {
    const int c = p.channel + i;
    scale[i] = p.active ? a->gamma[c] * a->istd[c] : 0;
    shift[i] = p.active ? fmaf(-a->mean[c], scale[i], a->beta[c]) : 0;
  }
}

