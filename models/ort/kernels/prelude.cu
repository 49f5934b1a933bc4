// What the kernels share. They are written in the common subset of CUDA C++ and C, so that tests
// can compile the same text for the CPU: no templates, no overloads, no headers.
//
// Two definitions precede this: TYPE, that of activations, and VECTOR, how many elements a thread
// loads at once: 1, or 8 or 16 bytes of them.
//
// A file defines RESIDENT, how many blocks of its kernels are to be resident on a multiprocessor
// at once, which limits their registers.

#define THREADS 256

// Types, as ONNX numbers them; float16 is the third. HALF is either type of 16 bits.
#define FLOAT 1
#define BFLOAT16 16
#define HALF (TYPE != FLOAT)

#ifdef __CUDACC_RTC__
#define KERNEL(name, type) extern "C" __global__ void __launch_bounds__(THREADS, RESIDENT) name(const type a)
#define DEVICE static __device__ __forceinline__
#else
#define KERNEL(name, type) \
  static void name##_body(const type a); \
  const unsigned long name##_size = sizeof(type); \
  void name(const void *p) { name##_body(*(const type *)p); } \
  static void name##_body(const type a)
#define DEVICE static inline
#endif

#if HALF
typedef unsigned short T;
#else
typedef float T;
#endif

typedef long long int64;

#ifdef __CUDACC_RTC__
DEVICE unsigned float_bits(float f) { return __float_as_uint(f); }
DEVICE float bits_float(unsigned u) { return __uint_as_float(u); }
#else
#define __ldcg(at) (*(at)) // loads what other blocks have written
DEVICE unsigned float_bits(float f) {
  union { float f; unsigned u; } v = {f};
  return v.u;
}
DEVICE float bits_float(unsigned u) {
  union { unsigned u; float f; } v = {u};
  return v.f;
}
#endif

// number converts a T to float, and narrow rounds to the nearest T; NaN stays NaN.
#if TYPE == FLOAT
DEVICE float number(T x) { return x; }
DEVICE T narrow(float f) { return f; }
#elif TYPE == BFLOAT16
DEVICE float number(T x) { return bits_float((unsigned)x << 16); }
#ifdef __CUDACC_RTC__
DEVICE T narrow(float f) {
  T x;
  asm("cvt.rn.bf16.f32 %0, %1;" : "=h"(x) : "f"(f));
  return x;
}
#else
DEVICE T narrow(float f) {
  const unsigned u = float_bits(f);
  return f != f ? 0x7fff : (u + 0x7fff + (u >> 16 & 1)) >> 16; // as the device does it
}
#endif
#elif defined(__CUDACC_RTC__)
DEVICE float number(T x) {
  float f;
  asm("cvt.f32.f16 %0, %1;" : "=f"(f) : "h"(x));
  return f;
}
DEVICE T narrow(float f) {
  T x;
  asm("cvt.rn.f16.f32 %0, %1;" : "=h"(x) : "f"(f));
  return x;
}
#else
DEVICE float number(T x) {
  union { T u; _Float16 f; } v = {x};
  return v.f;
}
DEVICE T narrow(float f) {
  union { _Float16 f; T u; } v = {(_Float16)f};
  return v.u;
}
#endif

// vector is VECTOR elements.
#define BYTES (VECTOR * (HALF ? 2 : 4))
#if VECTOR == 1
typedef T vector;
#elif BYTES == 8
typedef uint2 vector;
#else
typedef uint4 vector;
#endif

// words splits a vector into words of 32 bits, and of_words joins them.
#if VECTOR > 1
DEVICE void words(vector v, unsigned *w) {
  w[0] = v.x, w[1] = v.y;
#if BYTES == 16
  w[2] = v.z, w[3] = v.w;
#endif
}

DEVICE vector of_words(const unsigned *w) {
#if BYTES == 16
  return make_uint4(w[0], w[1], w[2], w[3]);
#else
  return make_uint2(w[0], w[1]);
#endif
}
#endif

// unpack converts a vector to VECTOR floats, and pack converts them back.
DEVICE void unpack(vector v, float *f) {
#if VECTOR == 1
  f[0] = number(v);
#else
  unsigned w[BYTES / 4];
  words(v, w);
  for (int i = 0; i < BYTES / 4; i++) {
#if HALF
    f[2 * i] = number(w[i] & 0xffff);
    f[2 * i + 1] = number(w[i] >> 16);
#else
    f[i] = bits_float(w[i]);
#endif
  }
#endif
}

DEVICE vector pack(const float *f) {
#if VECTOR == 1
  return narrow(f[0]);
#else
  unsigned w[BYTES / 4];
  for (int i = 0; i < BYTES / 4; i++) {
#if HALF
    w[i] = narrow(f[2 * i]) | (unsigned)narrow(f[2 * i + 1]) << 16;
#else
    w[i] = float_bits(f[i]);
#endif
  }
  return of_words(w);
#endif
}
