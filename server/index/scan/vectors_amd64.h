// Definitions shared by the kernels for AVX2 and AVX-512.
#ifndef VICREG_SCAN_VECTORS_H
#define VICREG_SCAN_VECTORS_H

#include <immintrin.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#if defined(__clang__)
#pragma STDC FP_CONTRACT OFF // GCC lacks this pragma and has -std=c11 instead
#endif

#define INLINE static inline __attribute__((always_inline))
#define AVX2 __attribute__((target("avx2")))
#define AVX512 __attribute__((target("avx2,avx512f,avx512bw,avx512vnni")))

// prefetch loads the cache line at p, which may be an invalid address.
INLINE void prefetch(const void *p) { _mm_prefetch((const char *)p, _MM_HINT_T0); }

// ahead is an address that a scan will reach soon. The hardware prefetcher looks ahead by itself,
// but stops at the end of each 4 KB page.
INLINE const void *ahead(const void *p) { return (const void *)((uintptr_t)p + 4096); }

// sum8 sums v by adding the upper half to the lower until one number is left.
INLINE AVX2 float sum8(__m256 v) {
  __m128 s = _mm_add_ps(_mm256_castps256_ps128(v), _mm256_extractf128_ps(v, 1));
  s = _mm_add_ps(s, _mm_movehl_ps(s, s));
  return _mm_cvtss_f32(_mm_add_ss(s, _mm_movehdup_ps(s)));
}

// sums4 returns the sums of four vectors, more cheaply than four separate reductions.
INLINE AVX2 __m128i sums4(__m256i a, __m256i b, __m256i c, __m256i d) {
  __m256i s = _mm256_hadd_epi32(_mm256_hadd_epi32(a, b), _mm256_hadd_epi32(c, d));
  return _mm_add_epi32(_mm256_castsi256_si128(s), _mm256_extracti128_si256(s, 1));
}

#endif
