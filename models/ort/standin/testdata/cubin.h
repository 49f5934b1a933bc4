// What the stand-in for NVRTC produces and that for the driver loads.
#include <stdint.h>

#define MARK "standin"
typedef struct {
  char mark[8];
  uint64_t size;
  char library[]; // a shared library
} cubin;
