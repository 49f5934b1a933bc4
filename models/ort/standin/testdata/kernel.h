// The built-ins of CUDA C++ that our kernels use, for a C compiler. They precede the source given
// to the stand-in for NVRTC. One thread runs at a time, so nothing here is atomic.
#include <math.h>
#include <stdbool.h>
#include <stddef.h>

#include "threads.h"

#define __global__
#define __device__
#define __launch_bounds__(...)
#define __restrict__ restrict
#define __forceinline__ inline __attribute__((always_inline))
#define __align__(n) __attribute__((aligned(n)))

// Shared memory is one section of the library, filled anew for each block.
#define __shared__ static __attribute__((section("standin_shared")))
extern char __start_standin_shared[] __attribute__((weak, visibility("hidden")));
extern char __stop_standin_shared[] __attribute__((weak, visibility("hidden")));

static standin_threads standin = {.shared = __start_standin_shared, .shared_end = __stop_standin_shared};
standin_threads *standin_of(void) { return &standin; }

#define threadIdx standin.thread
#define blockIdx standin.block
#define blockDim standin.block_size
#define gridDim standin.grid_size
#define __syncthreads() standin.sync()
#define __threadfence() __atomic_signal_fence(__ATOMIC_SEQ_CST)

static inline unsigned atomicAdd(unsigned *at, unsigned value) {
  unsigned old = *(volatile unsigned *)at;
  *(volatile unsigned *)at = old + value;
  return old;
}

static inline float rsqrtf(float x) { return 1 / sqrtf(x); }

typedef struct uint2 {
  unsigned x, y;
} __attribute__((aligned(8))) uint2;
typedef struct uint4 {
  unsigned x, y, z, w;
} __attribute__((aligned(16))) uint4;
typedef struct float4 {
  float x, y, z, w;
} __attribute__((aligned(16))) float4;
static inline uint2 make_uint2(unsigned x, unsigned y) { return (uint2){x, y}; }
static inline uint4 make_uint4(unsigned x, unsigned y, unsigned z, unsigned w) { return (uint4){x, y, z, w}; }
static inline float4 make_float4(float x, float y, float z, float w) { return (float4){x, y, z, w}; }
