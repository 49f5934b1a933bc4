// A kernel that is to run, with what it is given.
#include "threads.h"

// MOST_THREADS of a block.
enum { MOST_THREADS = 1024 };

typedef struct {
  const char *name;
  void (*kernel)(const void *argument); // what one thread does
  standin_threads *threads;
  dim3 grid, block;
  char argument[] __attribute__((aligned(16))); // its struct
} launch;

// run_launch returns when the kernel has ended. Of several that are called at once each
// waits for those before it.
void run_launch(const launch *l);
