// What kernels (kernel.h) and what runs them (threads.c) share: each library of kernels
// has one of these, and standin_of gives it.
typedef struct {
  unsigned x, y, z;
} dim3;
typedef struct {
  dim3 thread, block, block_size, grid_size; // of the thread that runs
  void (*sync)(void);                        // what __syncthreads calls
  char *shared, *shared_end;                 // all __shared__ memory
} standin_threads;
