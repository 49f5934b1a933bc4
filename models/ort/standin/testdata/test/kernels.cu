// Kernels for the test of the stand-ins, both CUDA C++ and C.
#ifdef __CUDACC_RTC__
#define KERNEL(name, type, threads) extern "C" __global__ void __launch_bounds__(threads) name(const type a)
#else
#define KERNEL(name, type, threads)                         \
  static void name##_body(const type a);                    \
  const unsigned long name##_size = sizeof(type);           \
  void name(const void *p) { name##_body(*(const type *)p); } \
  static void name##_body(const type a)
#endif

enum { THREADS = 64 };

typedef struct {
  const float *x;
  float *sums; // of each block, and then the total
  unsigned *ended;
  int n;
} sum_args;

// sum_block leaves the sum of the block's elements in part[0].
__device__ __forceinline__ static void sum_block(float *part, const float *__restrict__ x, int n) {
  int t = threadIdx.x, i = blockIdx.x * blockDim.x + t;
  part[t] = i < n ? x[i] : 0.0f;
  __syncthreads();
  for (int k = THREADS / 2; k > 0; k /= 2) {
    if (t < k) part[t] += part[t + k];
    __syncthreads();
  }
}

// Computes the sum of each block and, in the block that ends last, the total.
KERNEL(sum, sum_args, THREADS) {
  __shared__ float part[THREADS];
  __shared__ unsigned before;
  sum_block(part, a.x, a.n);
  if (threadIdx.x == 0) {
    a.sums[blockIdx.x] = part[0];
    __threadfence();
    before = atomicAdd(a.ended, 1u);
  }
  __syncthreads();
  if (before != gridDim.x - 1) return;
  __syncthreads(); // reached in one block only
  if (threadIdx.x == 0) {
    float all = 0.0f;
    for (unsigned b = 0; b < gridDim.x; b++) all += a.sums[b];
    a.sums[gridDim.x] = all;
    *a.ended = 0;
  }
}

typedef struct {
  unsigned *y;
  unsigned add;
} place_args;

// Each thread adds its place in the grid, blocks and threads of three dimensions.
KERNEL(places, place_args, 1024) {
  unsigned block = (blockIdx.z * gridDim.y + blockIdx.y) * gridDim.x + blockIdx.x;
  unsigned thread = (threadIdx.z * blockDim.y + threadIdx.y) * blockDim.x + threadIdx.x;
  unsigned i = block * blockDim.x * blockDim.y * blockDim.z + thread;
  a.y[i] += i + a.add;
}

typedef struct {
  const uint4 *x;
  float *y;
} vector_args;

KERNEL(vectors, vector_args, 1) {
  uint4 v = a.x[0];
  float4 f = make_float4(v.x, v.y, v.z, v.w);
  a.y[0] = rsqrtf(f.x * f.y) + fmaf(f.z, f.w, fmaxf(f.x, f.y));
}

// Reads shared memory that nothing has been written to.
KERNEL(unwritten, vector_args, 1) {
  __shared__ float s[4];
  a.y[blockIdx.x] = s[0];
  s[0] = 1.0f;
}

// Wrong: half of the threads end while the others wait.
KERNEL(apart, place_args, THREADS) {
  if (threadIdx.x < THREADS / 2) return;
  __syncthreads();
  a.y[threadIdx.x] = a.add;
}
