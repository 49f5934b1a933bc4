// The part of cuBLAS that sets how float32 products are computed, which none are. The numbers are
// from NVIDIA's documentation of cuBLAS; switching to TF32 is logged to the file named by
// VICREG_STANDIN_LOG.
#include <stdio.h>
#include <stdlib.h>

enum { DEFAULT_MATH = 0, TF32_TENSOR_OP_MATH = 3 };

static int mode = DEFAULT_MATH; // of all handles

int cublasGetMathMode(void *handle, int *m) { return *m = mode, 0; }
int cublasSetMathMode(void *handle, int m) {
  const char *path = getenv("VICREG_STANDIN_LOG");
  FILE *file = path && m == TF32_TENSOR_OP_MATH ? fopen(path, "a") : NULL;
  if (file != NULL) {
    fprintf(file, "products in tf32\n");
    fclose(file);
  }
  return mode = m, 0;
}
