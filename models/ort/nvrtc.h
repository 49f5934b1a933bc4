// The functions of NVRTC and of CUDA's driver that compile and launch kernels, resolved at run
// time. Names and arguments are from NVIDIA's documentation; handles are void *.
#ifndef VICREG_NVRTC_H
#define VICREG_NVRTC_H

#include <stddef.h>

#define VR_NVRTC_FUNCTIONS(F) \
  F(nvrtcCreateProgram, (void **program, const char *source, const char *name, int headers, \
                         const char *const *texts, const char *const *names)) \
  F(nvrtcCompileProgram, (void *program, int count, const char *const *options)) \
  F(nvrtcGetProgramLogSize, (void *program, size_t *size)) \
  F(nvrtcGetProgramLog, (void *program, char *log)) \
  F(nvrtcGetCUBINSize, (void *program, size_t *size)) \
  F(nvrtcGetCUBIN, (void *program, char *code)) \
  F(nvrtcDestroyProgram, (void **program))

#define VR_DRIVER_FUNCTIONS(F) \
  F(cuLibraryLoadData, (void **library, const void *code, void *jit, void **jit_values, unsigned jit_count, \
                        void *options, void **values, unsigned count)) \
  F(cuLibraryGetKernel, (void **kernel, void *library, const char *name)) \
  F(cuKernelGetParamInfo, (void *kernel, size_t index, size_t *offset, size_t *size)) \
  F(cuLaunchKernel, (void *kernel, unsigned x, unsigned y, unsigned z, unsigned threads_x, unsigned threads_y, \
                     unsigned threads_z, unsigned shared, void *stream, void **arguments, void **extra)) \
  F(cuGetErrorString, (int status, const char **text))

// The functions, valid after vr_nvrtc_load. They return 0 on success.
#define VR_DECLARE_FUNCTION(name, arguments) int(*name) arguments;
extern struct vr_nvrtc {
  VR_NVRTC_FUNCTIONS(VR_DECLARE_FUNCTION)
  VR_DRIVER_FUNCTIONS(VR_DECLARE_FUNCTION)
} vr_nvrtc;

// vr_nvrtc_load resolves the functions, once; the message says what is missing.
char *vr_nvrtc_load(void);

// vr_driver_failed turns the status of a driver function into a message; NULL on success.
char *vr_driver_failed(int status, const char *function);

// vr_compile compiles a source for an architecture, 90 for compute capability 9.0. The caller
// frees the code.
char *vr_compile(const char *source, const char *name, int architecture, char **code);

#endif
