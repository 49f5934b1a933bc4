//go:build cgo && amd64

#include "kernels_amd64.h"
#include "vectors_amd64.h"

// add accumulates the products of four codes, as unsigned bytes, of each of 16 points with c.
INLINE AVX512 void add(__m512i *sum, __m512i points, __m512i c) {
  __asm__("vpdpbusd %2, %1, %0" : "+v"(*sum) : "v"(points), "v"(c));
}

// tile compares nq query points with the points of the block.
INLINE AVX512 void tile(const int8_t *q, const int32_t *bars, int nq, const uint8_t *codes, const int32_t *halves,
                        uint64_t *masks) {
  __m512i s[4][4];
  for (int j = 0; j < nq; j++)
    for (int v = 0; v < 4; v++) s[j][v] = _mm512_setzero_si512();
  for (int k = 0; k < 64; k += 4) {
    __m512i x[4];
    for (int v = 0; v < 4; v++) x[v] = _mm512_loadu_si512(codes + 64 * k + 64 * v);
    for (int j = 0; j < nq; j++) {
      int32_t four;
      memcpy(&four, q + 64 * j + k, 4);
      __m512i c = _mm512_set1_epi32(four);
      for (int v = 0; v < 4; v++) add(&s[j][v], x[v], c);
    }
  }
  for (int j = 0; j < nq; j++) {
    masks[j] = 0;
    for (int v = 0; v < 4; v++) {
      __m512i left = _mm512_sub_epi32(s[j][v], _mm512_loadu_si512(halves + 16 * v));
      masks[j] |= (uint64_t)_mm512_cmpge_epi32_mask(left, _mm512_set1_epi32(bars[j])) << (16 * v);
    }
  }
}

AVX512 void close_avx512(const int8_t *q, const int32_t *bars, size_t n, const uint8_t *codes, const int32_t *halves,
                         uint64_t *masks) {
  size_t j = 0;
  for (; j + 4 <= n; j += 4) tile(q + 64 * j, bars + j, 4, codes, halves, masks + j);
  for (; j < n; j++) tile(q + 64 * j, bars + j, 1, codes, halves, masks + j);
}
