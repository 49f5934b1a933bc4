// Kernels of our own: CUDA C in kernels/*.cu, compiled by NVRTC, the compiler that is a
// library, for the device at hand when one of a program is first launched. Neither CUDA's
// headers nor its compiler are needed. Source: NVIDIA's documentation of NVRTC and of
// the driver's functions cuLibraryLoadData, cuLibraryGetKernel and cuLaunchKernel.
#ifndef VICREG_KERNELS_H
#define VICREG_KERNELS_H

#include "customop.h"

// All blocks have so many threads.
enum { VR_THREADS = 256 };

// vr_program is files of kernels/ that are compiled together, behind prelude.cu.
typedef struct {
  const char *files[3]; // by name, up to a NULL
  int type;             // of activations, as ONNX numbers it: T
  int vector;           // numbers that a thread loads at once: VECTOR
} vr_program;

// vr_kernel_source gives the text of a file of kernels/. It is kept, and is to be given
// before any session is opened.
void vr_kernel_source(const char *file, const char *text);

// vr_launch starts a kernel on the stream of a run, x by y by z blocks, with its one
// argument, a pointer to a struct like the kernel's. The first launch of a kernel compiles
// its program and loads it, which cannot be captured.
#define vr_launch(run, program, kernel, x, y, z, argument) \
  vr_launch_sized(run, program, kernel, x, y, z, argument, sizeof *(argument))
char *vr_launch_sized(const vr_call *run, const vr_program *program, const char *kernel, int64_t x, int64_t y,
                      int64_t z, const void *argument, size_t bytes);

// vr_multiprocessors is how many the device has.
int vr_multiprocessors(void);

#endif
