// What the two halves of the stand-in for cuDNN share: tensors in host memory, and a log of what
// is requested, in the file named by VICREG_STANDIN_LOG.
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

enum {
  SUCCESS = 0,
  BAD_PARAM = 2000,
  NOT_FINALIZED = 2004,
  OUT_OF_BOUND = 2005,
  ATTRIBUTE_TYPE = 2010,
  NOT_SUPPORTED = 3000,
  EXECUTION_FAILED = 5000
};
enum { FLOAT = 0, HALF = 2, BFLOAT16 = 9 };
enum { N, C, H, W };

typedef struct {
  int type;
  int64_t dims[4], strides[4]; // N, C, H, W
} tensor;

double get(const tensor *t, const void *data, int64_t n, int64_t c, int64_t h, int64_t w);
void put(const tensor *t, void *data, double value, int64_t n, int64_t c, int64_t h, int64_t w);
int64_t elements(const tensor *t);

// place returns the coordinates of the i-th element, channels last.
void place(const tensor *t, int64_t i, int64_t at[4]);

// refuse keeps why, for cudnnGetLastErrorString.
int refuse(int status, const char *why);
void note(const char *format, ...);

// begin completes the work submitted to the handle's stream before.
void begin(const void *handle);

// take_time advances the device's clock, in ms, which cudart's events read.
void take_time(float ms);
