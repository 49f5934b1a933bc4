// Batch normalisation: what its two directions share. x is a matrix [groups * rows, channels]
// with one row per pixel; each group has statistics of its own. A block has one chunk of a
// group's rows and one strip of channels, mostly 128 bytes of each row; usually all blocks are
// resident on the device at once. The second pass over a tensor goes through each chunk
// backwards: what the first has read last may still be in the cache.

#if VECTOR == 1
#define ACROSS 8 // vectors of channels in a strip
#else
#define ACROSS (128 / BYTES)
#endif
#define DOWN (THREADS / ACROSS) // rows that a block processes together
#define STRIP (ACROSS * VECTOR) // channels in a strip

// The number of elements of y whose bits, whether the ReLU has passed them, share a byte.
#define MASKED (VECTOR == 1 ? 1 : HALF ? 8 : 4)

typedef struct {
  const T *x, *z, *dy, *more; // more: a second part of dy, to be added; z and more may be NULL
  T *y, *dx, *dz;
  const float *gamma, *beta;
  float *mean, *variance, *istd;     // [groups, channels]
  float *dgamma, *dbeta;             // [channels]
  float *group_dgamma, *group_dbeta; // [groups, channels]
  unsigned char *mask; // one bit per element of y: whether the ReLU has passed it
  float *sums;         // [groups, chunks, 2, channels]
  unsigned *done;      // finished blocks per group and strip; 0 before and after
  int64 rows;          // per group
  int channels, chunk, chunks, groups; // chunk: rows of one; chunks: of a group
  float eps;
  int relu;
} batch_norm;

// place is where a thread works: in rows first, first + DOWN and so on of a chunk of rows rows,
// from a channel on. offset is the index of that channel in the chunk's first row.
typedef struct {
  int64 offset;
  int first, rows, channel, active;
} place;

// first_row returns the first row of the block's group.
DEVICE int64 first_row(const batch_norm *a) { return blockIdx.z * a->rows; }

DEVICE place here(const batch_norm *a) {
  const int64 before = (int64)blockIdx.y * a->chunk;
  place p;
  p.channel = (blockIdx.x * ACROSS + threadIdx.x % ACROSS) * VECTOR;
  p.active = p.channel < a->channels;
  p.offset = (first_row(a) + before) * a->channels + p.channel;
  p.first = threadIdx.x / ACROSS;
  p.rows = !p.active ? 0 : a->rows - before < a->chunk ? a->rows - before : a->chunk;
  return p;
}

// back mirrors a row, to go through the rows of a chunk backwards.
DEVICE int back(place p, int row) { return p.rows - 1 - row; }

// of_group returns the index of a channel of the block's group in [groups, channels].
DEVICE int64 of_group(const batch_norm *a, int channel) { return (int64)blockIdx.z * a->channels + channel; }

DEVICE int64 index_of(const batch_norm *a, place p, int row) { return p.offset + (int64)row * a->channels; }

DEVICE vector load(const batch_norm *a, const T *x, place p, int row) {
  return *(const vector *)(x + index_of(a, p, row));
}

DEVICE void store(const batch_norm *a, T *x, place p, int row, const float *f) {
  *(vector *)(x + index_of(a, p, row)) = pack(f);
}

DEVICE unsigned char *mask_at(const batch_norm *a, place p, int row) { return a->mask + index_of(a, p, row) / MASKED; }

// quad is QUAD sums; fresh loads those that another block has written.
#if VECTOR == 1
typedef float quad;
DEVICE quad fresh(const float *at) { return __ldcg(at); }
DEVICE void add(float *sum, quad v) { sum[0] += v; }
#else
typedef float4 quad;
DEVICE quad fresh(const float *at) { return __ldcg((const float4 *)at); }
DEVICE void add(float *sum, quad v) { sum[0] += v.x, sum[1] += v.y, sum[2] += v.z, sum[3] += v.w; }
#endif

// total reduces the two sums of each thread, per channel, over the rows of the block. Thread i of
// the first 2*STRIP then has one of them: that of channel i % STRIP of the strip.
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

// The sums of a strip are reduced over all chunks by lanes of threads, each of which takes every
// LANES-th chunk and QUAD sums at once.
#if VECTOR == 1
#define QUAD 1
#else
#define QUAD 4
#endif
#define LANES (THREADS * QUAD / (2 * STRIP))
#define AT_ONCE 8

// chunk_of returns the index of a chunk of the block's group among all chunks, and done_of the
// counter of the group and the strip.
DEVICE int64 chunk_of(const batch_norm *a, int chunk) { return (int64)blockIdx.z * a->chunks + chunk; }
DEVICE unsigned *done_of(const batch_norm *a) { return &a->done[blockIdx.z * gridDim.x + blockIdx.x]; }

// publish writes the sums of a block, and returns whether those of all chunks of its strip are
// now complete.
DEVICE int publish(const batch_norm *a, unsigned *last, float sum) {
  const int i = threadIdx.x, channel = blockIdx.x * STRIP + i % STRIP;
  if (i < 2 * STRIP && channel < a->channels)
    a->sums[(2 * chunk_of(a, blockIdx.y) + i / STRIP) * a->channels + channel] = sum;
  __threadfence();
  __syncthreads();
  if (i == 0) *last = atomicAdd(done_of(a), 1) == (unsigned)a->chunks - 1;
  __syncthreads();
  __threadfence();
  return *last;
}

// gather reduces the sums of a strip over all chunks. Thread i < STRIP gets those of channel i of
// the strip; gather returns whether the thread has a channel.
DEVICE int gather(const batch_norm *a, float (*shared)[2 * STRIP], float *first, float *second) {
  const int i = threadIdx.x % (2 * STRIP / QUAD) * QUAD, lane = threadIdx.x / (2 * STRIP / QUAD);
  const int channel = blockIdx.x * STRIP + i % STRIP, active = channel < a->channels;
  const float *const at = a->sums + (2 * chunk_of(a, 0) + i / STRIP) * a->channels + channel;
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
  if (threadIdx.x == 0) *done_of(a) = 0;
  *first = *second = 0;
  for (int k = 0; threadIdx.x < STRIP && k < LANES; k++) {
    *first += shared[k][threadIdx.x];
    *second += shared[k][STRIP + threadIdx.x];
  }
  return threadIdx.x < STRIP && blockIdx.x * STRIP + threadIdx.x < a->channels;
}

// affine computes scale and shift of the normalisation, identically forwards and backwards, so
// that the sign of a result is the same.
DEVICE void affine(const batch_norm *a, place p, float *scale, float *shift) {
  for (int i = 0; i < VECTOR; i++) {
    const int c = p.channel + i;
    scale[i] = p.active ? a->gamma[c] * a->istd[of_group(a, c)] : 0;
    shift[i] = p.active ? fmaf(-a->mean[of_group(a, c)], scale[i], a->beta[c]) : 0;
  }
}

