//go:build cgo && amd64

#include "kernels_amd64.h"
#include "vectors_amd64.h"

int has_avx512_vnni(void) {
  __builtin_cpu_init();
  return __builtin_cpu_supports("avx2") && __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") &&
         __builtin_cpu_supports("avx512vnni");
}

// first masks the first n of 16 lanes, all of them if n is larger.
INLINE __mmask16 first(size_t n) { return n < 16 ? (1u << n) - 1 : 0xffff; }

// dot keeps 64 partial sums in four registers, and prefetches soon along the way.
INLINE AVX512 float dot(const float *q, const float *x, size_t dim, const float *soon) {
  __m512 s[4];
  for (int k = 0; k < 4; k++) s[k] = _mm512_setzero_ps();
  size_t at = 0;
  for (; at + 64 <= dim; at += 64)
    for (int k = 0; k < 4; k++) {
      prefetch(soon + at + 16 * k);
      s[k] = _mm512_add_ps(s[k], _mm512_mul_ps(_mm512_loadu_ps(q + at + 16 * k), _mm512_loadu_ps(x + at + 16 * k)));
    }
  for (int k = 0; at < dim; k++, at += 16) {
    __mmask16 m = first(dim - at);
    __m512 p = _mm512_mul_ps(_mm512_maskz_loadu_ps(m, q + at), _mm512_maskz_loadu_ps(m, x + at));
    for (int i = 0; i < 4; i++) // constant indices keep s in registers
      if (i == k) s[i] = _mm512_add_ps(s[i], p);
  }
  __m512 v = _mm512_add_ps(_mm512_add_ps(s[0], s[2]), _mm512_add_ps(s[1], s[3]));
  __m256 upper = _mm256_castpd_ps(_mm512_extractf64x4_pd(_mm512_castps_pd(v), 1));
  return sum8(_mm256_add_ps(_mm512_castps512_ps256(v), upper));
}

AVX512 void dots_avx512(const float *q, size_t dim, const float *rows, size_t n, float *out) {
  for (size_t i = 0; i < n; i++) out[i] = dot(q, rows + i * dim, dim, ahead(rows + i * dim));
}

AVX512 void dots_at_avx512(const float *q, size_t dim, const float *rows, const uint32_t *at, size_t n, float *out) {
  for (size_t i = 0; i < n; i++) {
    size_t next = i + 1 < n ? at[i + 1] : at[i];
    out[i] = dot(q, rows + at[i] * dim, dim, rows + next * dim);
  }
}

// add accumulates the products of x, as unsigned bytes, with p, as signed ones. With the
// intrinsic _mm512_dpbusd_epi32, GCC copies the sum twice, which halves the speed.
INLINE AVX512 void add(__m512i *sum, __m512i x, __m512i p) {
  __asm__("vpdpbusd %2, %1, %0" : "+v"(*sum) : "v"(x), "v"(p));
}

// step accumulates the products of up to 64 codes of nr rows with both planes of nq queries. The
// instruction multiplies unsigned by signed bytes, hence 128 is added to the rows.
INLINE AVX512 void step(__m512i s[4][4][2], const int8_t *const q[4], int nq, const int8_t *rows, size_t dim, int nr,
                        size_t at, __mmask64 m) {
  __m512i x[4];
  for (int r = 0; r < nr; r++) {
    prefetch(ahead(rows + r * dim + at));
    const int8_t *row = rows + r * dim + at;
    x[r] = m == ~0ull ? _mm512_loadu_si512(row) : _mm512_maskz_loadu_epi8(m, row);
    x[r] = _mm512_xor_si512(x[r], _mm512_set1_epi8(-128));
  }
  for (int j = 0; j < nq; j++)
    for (int plane = 0; plane < 2; plane++) {
      __m512i p = _mm512_loadu_si512(q[j] + 2 * at + 64 * plane);
      for (int r = 0; r < nr; r++) add(&s[r][j][plane], x[r], p);
    }
}

// tile sets out[j*stride + r] to (row r + 128) · query j - less[j]. Intermediate sums may wrap
// around, since the final ones fit.
INLINE AVX512 void tile(const int8_t *const q[4], int nq, const int8_t *rows, size_t dim, int nr, const int32_t *less,
                        int32_t *out, size_t stride) {
  __m512i s[4][4][2];
  for (int r = 0; r < nr; r++)
    for (int j = 0; j < nq; j++) s[r][j][0] = s[r][j][1] = _mm512_setzero_si512();
  size_t whole = dim / 64 * 64;
  if (whole < dim) step(s, q, nq, rows, dim, nr, whole, (1ull << (dim - whole)) - 1);
  for (size_t at = 0; at < whole; at += 64) step(s, q, nq, rows, dim, nr, at, ~0ull);

  __m256i half[16] = {0};
  for (int r = 0; r < nr; r++)
    for (int j = 0; j < nq; j++) {
      __m512i v = _mm512_add_epi32(_mm512_slli_epi32(s[r][j][0], 5), s[r][j][1]);
      half[j * nr + r] = _mm256_add_epi32(_mm512_castsi512_si256(v), _mm512_extracti64x4_epi64(v, 1));
    }
  uint32_t sums[16]; // unsigned, as signed overflow is undefined
  for (int k = 0; k < nq * nr; k += 4)
    _mm_storeu_si128((__m128i *)(sums + k), sums4(half[k], half[k + 1], half[k + 2], half[k + 3]));
  for (int j = 0; j < nq; j++)
    for (int r = 0; r < nr; r++) out[j * stride + r] = (int32_t)(sums[j * nr + r] - (uint32_t)less[j]);
}

// scan processes nr rows at a time.
INLINE AVX512 void scan(const int8_t *const q[4], int nq, const int8_t *rows, size_t dim, size_t n, int nr,
                        int32_t *out, size_t stride) {
  // The contribution of the added 128 is the product of a row of zeros.
  static const int8_t zeros[8192];
  int32_t none[4] = {0}, less[4];
  tile(q, nq, zeros, dim, 1, none, less, 1);
  size_t i = 0;
  for (; i + nr <= n; i += nr) tile(q, nq, rows + i * dim, dim, nr, less, out + i, stride);
  for (; i < n; i++) tile(q, nq, rows + i * dim, dim, 1, less, out + i, stride);
}

AVX512 void products_avx512(const int8_t *q0, const int8_t *q1, const int8_t *q2, const int8_t *q3, size_t count,
                            size_t dim, const int8_t *codes, size_t n, int32_t *out, size_t stride) {
  const int8_t *const q[4] = {q0, q1, q2, q3};
  switch (count) { // compile-time constants; 32 registers hold the sums of 8 pairs
  case 1: scan(q, 1, codes, dim, n, 4, out, stride); break;
  case 2: scan(q, 2, codes, dim, n, 4, out, stride); break;
  case 3: scan(q, 3, codes, dim, n, 2, out, stride); break;
  case 4: scan(q, 4, codes, dim, n, 2, out, stride); break;
  }
}
