// What the search for CUDA's libraries needs of the dynamic loader, and of CUDA.
//
// Every function that returns char * returns NULL on success, else a message that the
// caller frees.
#ifndef VICREG_LOADER_H
#define VICREG_LOADER_H

char *vr_load(const char *name, char **path);
char *vr_cuda(int *version, int *devices);
char *vr_cudnn_cuda(const char *name, char **path, int *version);

#endif
