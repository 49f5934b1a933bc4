// Pixels as input of a network: pixel*scale + shift for the three colours, and zeros in the other
// channels. A thread handles one pixel at a time; VECTOR is 4 if there are 4 channels, else 1.

#define RESIDENT 8
#define COLOURS 3

typedef struct {
  const unsigned char *pixels; // [count, COLOURS]
  const float *scale, *shift;
  T *y; // [count, channels]
  int64 count;
  int channels;
} pixel_values;

KERNEL(pixels_to_values, pixel_values) {
  float scale[COLOURS], shift[COLOURS];
  for (int c = 0; c < COLOURS; c++) {
    scale[c] = a.scale[c];
    shift[c] = a.shift[c];
  }
  const int64 step = (int64)gridDim.x * THREADS;
  for (int64 i = (int64)blockIdx.x * THREADS + threadIdx.x; i < a.count; i += step) {
    float f[4];
    for (int c = 0; c < COLOURS; c++) f[c] = fmaf(a.pixels[i * COLOURS + c], scale[c], shift[c]);
    f[COLOURS] = 0;
#if VECTOR == 4
    ((vector *)a.y)[i] = pack(f);
#else
    for (int c = 0; c < a.channels; c++) a.y[i * a.channels + c] = pack(&f[c < COLOURS ? c : COLOURS]);
#endif
  }
}
