//go:build cgo && amd64

#include "kernels_amd64.h"
#include "vectors_amd64.h"

int has_avx2(void) {
  __builtin_cpu_init();
  return __builtin_cpu_supports("avx2");
}

// first masks the first n of 8 lanes, all of them if n is larger.
INLINE AVX2 __m256i first(size_t n) {
  static const int32_t edge[16] = {-1, -1, -1, -1, -1, -1, -1, -1, 0, 0, 0, 0, 0, 0, 0, 0};
  return _mm256_loadu_si256((const __m256i *)(edge + (n < 8 ? 8 - n : 0)));
}

// dot keeps 64 partial sums in eight registers, and prefetches soon along the way.
INLINE AVX2 float dot(const float *q, const float *x, size_t dim, const float *soon) {
  __m256 s[8];
  for (int k = 0; k < 8; k++) s[k] = _mm256_setzero_ps();
  size_t at = 0;
  for (; at + 64 <= dim; at += 64)
    for (int k = 0; k < 8; k++) {
      if (k % 2 == 0) prefetch(soon + at + 8 * k); // one per cache line
      s[k] = _mm256_add_ps(s[k], _mm256_mul_ps(_mm256_loadu_ps(q + at + 8 * k), _mm256_loadu_ps(x + at + 8 * k)));
    }
  for (int k = 0; at < dim; k++, at += 8) {
    __m256i m = first(dim - at);
    __m256 p = _mm256_mul_ps(_mm256_maskload_ps(q + at, m), _mm256_maskload_ps(x + at, m));
    for (int i = 0; i < 8; i++) // constant indices keep s in registers
      if (i == k) s[i] = _mm256_add_ps(s[i], p);
  }
  for (int half = 4; half > 0; half /= 2)
    for (int k = 0; k < half; k++) s[k] = _mm256_add_ps(s[k], s[k + half]);
  return sum8(s[0]);
}

AVX2 void dots_avx2(const float *q, size_t dim, const float *rows, size_t n, float *out) {
  for (size_t i = 0; i < n; i++) out[i] = dot(q, rows + i * dim, dim, ahead(rows + i * dim));
}

AVX2 void dots_at_avx2(const float *q, size_t dim, const float *rows, const uint32_t *at, size_t n, float *out) {
  for (size_t i = 0; i < n; i++) {
    size_t next = i + 1 < n ? at[i + 1] : at[i];
    out[i] = dot(q, rows + at[i] * dim, dim, rows + next * dim);
  }
}

// step accumulates the products of 16 codes of each of nr rows, x[r], with nq queries.
INLINE AVX2 void step(__m256i s[4][4], const int16_t *const q[4], int nq, const __m128i x[4], int nr, size_t at) {
  __m256i wide[4];
  for (int r = 0; r < nr; r++) wide[r] = _mm256_cvtepi8_epi16(x[r]);
  for (int j = 0; j < nq; j++) {
    __m256i c = _mm256_loadu_si256((const __m256i *)(q[j] + at));
    for (int r = 0; r < nr; r++) s[r][j] = _mm256_add_epi32(s[r][j], _mm256_madd_epi16(wide[r], c));
  }
}

// tile sets out[j*stride + r] to row r · query j.
INLINE AVX2 void tile(const int16_t *const q[4], int nq, const int8_t *rows, size_t dim, int nr, int32_t *out,
                      size_t stride) {
  __m256i s[4][4];
  for (int r = 0; r < nr; r++)
    for (int j = 0; j < nq; j++) s[r][j] = _mm256_setzero_si256();
  __m128i x[4];
  size_t whole = dim / 16 * 16;
  if (whole < dim) {
    for (int r = 0; r < nr; r++) {
      int8_t end[16] = {0};
      memcpy(end, rows + r * dim + whole, dim - whole);
      x[r] = _mm_loadu_si128((const __m128i *)end);
    }
    step(s, q, nq, x, nr, whole);
  }
  for (size_t at = 0; at < whole; at += 16) {
    for (int r = 0; r < nr; r++) {
      prefetch(ahead(rows + r * dim + at));
      x[r] = _mm_loadu_si128((const __m128i *)(rows + r * dim + at));
    }
    step(s, q, nq, x, nr, at);
  }

  __m256i flat[16] = {0};
  for (int r = 0; r < nr; r++)
    for (int j = 0; j < nq; j++) flat[j * nr + r] = s[r][j];
  int32_t sums[16];
  for (int k = 0; k < nq * nr; k += 4)
    _mm_storeu_si128((__m128i *)(sums + k), sums4(flat[k], flat[k + 1], flat[k + 2], flat[k + 3]));
  for (int j = 0; j < nq; j++)
    for (int r = 0; r < nr; r++) out[j * stride + r] = sums[j * nr + r];
}

// scan processes nr rows at a time.
INLINE AVX2 void scan(const int16_t *const q[4], int nq, const int8_t *rows, size_t dim, size_t n, int nr,
                      int32_t *out, size_t stride) {
  size_t i = 0;
  for (; i + nr <= n; i += nr) tile(q, nq, rows + i * dim, dim, nr, out + i, stride);
  for (; i < n; i++) tile(q, nq, rows + i * dim, dim, 1, out + i, stride);
}

AVX2 void products_avx2(const int16_t *q0, const int16_t *q1, const int16_t *q2, const int16_t *q3, size_t count,
                        size_t dim, const int8_t *codes, size_t n, int32_t *out, size_t stride) {
  const int16_t *const q[4] = {q0, q1, q2, q3};
  switch (count) { // compile-time constants; 16 registers hold the sums of 8 pairs
  case 1: scan(q, 1, codes, dim, n, 4, out, stride); break;
  case 2: scan(q, 2, codes, dim, n, 4, out, stride); break;
  case 3: scan(q, 3, codes, dim, n, 2, out, stride); break;
  case 4: scan(q, 4, codes, dim, n, 2, out, stride); break;
  }
}
