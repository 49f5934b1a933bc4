// The launch of a kernel, with its argument.
#include "threads.h"

// The maximum number of threads per block.
enum { MOST_THREADS = 1024 };

typedef struct {
  const char *name;
  void (*kernel)(const void *argument); // what one thread does
  standin_threads *threads;
  dim3 grid, block;
  char argument[] __attribute__((aligned(16))); // its struct
} launch;

// run_launch returns when the kernel has ended. Concurrent calls are serialised.
void run_launch(const launch *l);
