//go:build cgo && amd64

#include "kernels_amd64.h"
#include "vectors_amd64.h"

// four broadcasts four codes.
INLINE AVX2 __m256i four(const int8_t *codes) {
  int32_t c;
  memcpy(&c, codes, 4);
  return _mm256_set1_epi32(c);
}

// tile compares nq query points with 32 points of the block, from 8*from on, where from is 0 or
// 4: four registers of 8 points, with four codes of each point multiplied by one instruction.
// Sums of four products fit in 16 bits.
INLINE AVX2 void tile(const int8_t *q, const int32_t *bars, int nq, const uint8_t *codes, const int32_t *halves,
                      uint64_t *masks, int from) {
  const __m256i ones = _mm256_set1_epi16(1);
  __m256i s[2][4];
  for (int j = 0; j < nq; j++)
    for (int v = 0; v < 4; v++) s[j][v] = _mm256_setzero_si256();
  for (int k = 0; k < 64; k += 8) {
    const uint8_t *here = codes + 64 * k + 32 * from;
    for (int v = 0; v < 4; v++) {
      __m256i a = _mm256_loadu_si256((const __m256i *)(here + 32 * v));
      __m256i b = _mm256_loadu_si256((const __m256i *)(here + 256 + 32 * v));
      for (int j = 0; j < nq; j++) {
        const int8_t *c = q + 64 * j + k;
        __m256i p = _mm256_add_epi16(_mm256_maddubs_epi16(a, four(c)), _mm256_maddubs_epi16(b, four(c + 4)));
        s[j][v] = _mm256_add_epi32(s[j][v], _mm256_madd_epi16(p, ones));
      }
    }
  }
  for (int j = 0; j < nq; j++)
    for (int v = 0; v < 4; v++) {
      __m256i left = _mm256_sub_epi32(s[j][v], _mm256_loadu_si256((const __m256i *)(halves + 8 * (from + v))));
      int below = _mm256_movemask_ps(_mm256_castsi256_ps(_mm256_cmpgt_epi32(_mm256_set1_epi32(bars[j]), left)));
      masks[j] |= (uint64_t)(below ^ 0xff) << (8 * (from + v));
    }
}

AVX2 void close_avx2(const int8_t *q, const int32_t *bars, size_t n, const uint8_t *codes, const int32_t *halves,
                     uint64_t *masks) {
  memset(masks, 0, n * sizeof *masks);
  for (int from = 0; from < 8; from += 4) {
    size_t j = 0;
    for (; j + 2 <= n; j += 2) tile(q + 64 * j, bars + j, 2, codes, halves, masks + j, from);
    for (; j < n; j++) tile(q + 64 * j, bars + j, 1, codes, halves, masks + j, from);
  }
}
