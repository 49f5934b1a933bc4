// What kernels (kernel.h) and their scheduler (threads.c) share: each library of kernels has one
// of these, returned by standin_of.
typedef struct {
  unsigned x, y, z;
} dim3;
typedef struct {
  dim3 thread, block, block_size, grid_size; // of the running thread
  void (*sync)(void);                        // what __syncthreads calls
  char *shared, *shared_end;                 // all __shared__ memory
} standin_threads;
