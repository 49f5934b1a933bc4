// The kernels of package scan for x86-64. Every function is compiled for the instruction set in
// its name, and is called only on processors that have it.
#ifndef VICREG_SCAN_KERNELS_H
#define VICREG_SCAN_KERNELS_H

#include <stddef.h>
#include <stdint.h>

int has_avx2(void);
int has_avx512_vnni(void);

// dots_*: out[i] = q · row i, for rows [n, dim]; dots_at_*: the same for row at[i]. The order of
// the additions is that of dot in portable.go.
void dots_avx2(const float *q, size_t dim, const float *rows, size_t n, float *out);
void dots_at_avx2(const float *q, size_t dim, const float *rows, const uint32_t *at, size_t n, float *out);
void dots_avx512(const float *q, size_t dim, const float *rows, size_t n, float *out);
void dots_at_avx512(const float *q, size_t dim, const float *rows, const uint32_t *at, size_t n, float *out);

// products_*: out[j*stride + i] = query j · row i, for the first count (1 to 4) queries and codes
// [n, dim]. Queries are padded with zeros to a multiple of 64 codes. For AVX-512 they are split
// into planes, see Query.
void products_avx2(const int16_t *q0, const int16_t *q1, const int16_t *q2, const int16_t *q3, size_t count,
                   size_t dim, const int8_t *codes, size_t n, int32_t *out, size_t stride);
void products_avx512(const int8_t *q0, const int8_t *q1, const int8_t *q2, const int8_t *q3, size_t count,
                     size_t dim, const int8_t *codes, size_t n, int32_t *out, size_t stride);

// close_*: bit i of masks[j] is set if q[j] · point i - halves[i] >= bars[j], for the n points of
// q [n, 64] and the 64 points of codes [16, 64, 4].
void close_avx2(const int8_t *q, const int32_t *bars, size_t n, const uint8_t *codes, const int32_t *halves,
                uint64_t *masks);
void close_avx512(const int8_t *q, const int32_t *bars, size_t n, const uint8_t *codes, const int32_t *halves,
                  uint64_t *masks);

#endif
