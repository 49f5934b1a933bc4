// Our own kernels: CUDA C in kernels/*.cu, compiled for the device at hand by NVRTC, CUDA's
// compiler in a library, on a program's first launch. Neither CUDA's headers nor nvcc are needed.
// Source: NVIDIA's documentation of NVRTC and of the driver's functions cuLibraryLoadData,
// cuLibraryGetKernel and cuLaunchKernel.
#ifndef VICREG_KERNELS_H
#define VICREG_KERNELS_H

#include "customop.h"

// The number of threads of every block.
enum { VR_THREADS = 256 };

// vr_program is a set of files of kernels/ that are compiled together, after prelude.cu.
typedef struct {
  const char *files[3]; // by name, terminated by NULL
  int type;             // of activations, as ONNX numbers it: TYPE
  int vector;           // elements that a thread loads at once: VECTOR
} vr_program;

// vr_kernel_source registers the text of a file of kernels/, which must stay valid. Call it
// before any session is opened.
void vr_kernel_source(const char *file, const char *text);

// vr_launch launches a kernel on the stream of a run, with x by y by z blocks and one argument, a
// pointer to a struct like the kernel's. The first launch of a kernel compiles and loads its
// program, which cannot be captured.
#define vr_launch(run, program, kernel, x, y, z, argument) \
  vr_launch_sized(run, program, kernel, x, y, z, argument, sizeof *(argument))
char *vr_launch_sized(const vr_call *run, const vr_program *program, const char *kernel, int64_t x, int64_t y,
                      int64_t z, const void *argument, size_t bytes);

// vr_multiprocessors returns how many the current device has.
int vr_multiprocessors(void);

#endif
