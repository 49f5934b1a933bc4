// Max pooling and its gradient. A thread handles a vector of channels of one pixel. The position
// of the maximum in its window, in row-major order, is stored as a byte: the first of several
// equal ones, and a NaN before any number.

#define RESIDENT 4

typedef struct {
  const T *x, *dy;
  T *y, *dx;
  unsigned char *tap; // shaped like y
  int images, height, width, channels, out_height, out_width;
  int kernel_height, kernel_width, pad_height, pad_width, stride;
} max_pool;

// taps are the bytes of one vector.
#if VECTOR == 8
typedef uint2 taps;
#elif VECTOR == 4
typedef unsigned taps;
#else
typedef unsigned char taps;
#endif

DEVICE taps pack_taps(const unsigned *tap) {
#if VECTOR == 8
  return make_uint2(tap[0] | tap[1] << 8 | tap[2] << 16 | tap[3] << 24, tap[4] | tap[5] << 8 | tap[6] << 16 | tap[7] << 24);
#elif VECTOR == 4
  return tap[0] | tap[1] << 8 | tap[2] << 16 | tap[3] << 24;
#else
  return tap[0];
#endif
}

DEVICE unsigned tap_of(taps v, int i) {
#if VECTOR == 8
  return (i < 4 ? v.x >> 8 * i : v.y >> 8 * (i - 4)) & 0xff;
#else
  return v >> 8 * i & 0xff;
#endif
}

// pixel is where a thread works: the pixel, and the first channel of its vector.
typedef struct {
  int image, row, column, channel;
} pixel;

DEVICE pixel pixel_of(unsigned i, int height, int width, int channels) {
  const unsigned across = channels / VECTOR;
  pixel p;
  p.channel = i % across * VECTOR;
  i /= across;
  p.column = i % width;
  i /= width;
  p.row = i % height;
  p.image = i / height;
  return p;
}

DEVICE int64 place(pixel p, int row, int column, int height, int width, int channels) {
  return (((int64)p.image * height + row) * width + column) * channels + p.channel;
}

KERNEL(max_pool_forward, max_pool) {
  const unsigned count = (unsigned)a.images * a.out_height * a.out_width * (a.channels / VECTOR);
  for (unsigned i = blockIdx.x * THREADS + threadIdx.x; i < count; i += gridDim.x * THREADS) {
    const pixel p = pixel_of(i, a.out_height, a.out_width, a.channels);
    const int top = p.row * a.stride - a.pad_height, left = p.column * a.stride - a.pad_width;
    float most[VECTOR];
    unsigned tap[VECTOR];
    int first = 1;
    for (int kh = 0; kh < a.kernel_height; kh++) {
      const int h = top + kh;
      if (h < 0 || h >= a.height) continue;
      for (int kw = 0; kw < a.kernel_width; kw++) {
        const int w = left + kw;
        if (w < 0 || w >= a.width) continue;
        float f[VECTOR];
        unpack(*(const vector *)(a.x + place(p, h, w, a.height, a.width, a.channels)), f);
        for (int c = 0; c < VECTOR; c++)
          if (first || f[c] > most[c] || (f[c] != f[c] && most[c] == most[c])) {
            most[c] = f[c];
            tap[c] = kh * a.kernel_width + kw;
          }
        first = 0;
      }
    }
    const int64 at = place(p, p.row, p.column, a.out_height, a.out_width, a.channels);
    *(vector *)(a.y + at) = pack(most);
    *(taps *)(a.tap + at) = pack_taps(tap);
  }
}

// max_pool_backward gathers the gradient of each pixel from the windows that cover it.
KERNEL(max_pool_backward, max_pool) {
  const unsigned count = (unsigned)a.images * a.height * a.width * (a.channels / VECTOR);
  for (unsigned i = blockIdx.x * THREADS + threadIdx.x; i < count; i += gridDim.x * THREADS) {
    const pixel p = pixel_of(i, a.height, a.width, a.channels);
    const int down = p.row + a.pad_height, right = p.column + a.pad_width;
    float sum[VECTOR];
    for (int c = 0; c < VECTOR; c++) sum[c] = 0;
    for (int h = down / a.stride; h >= 0 && down - h * a.stride < a.kernel_height; h--) {
      if (h >= a.out_height) continue;
      for (int w = right / a.stride; w >= 0 && right - w * a.stride < a.kernel_width; w--) {
        if (w >= a.out_width) continue;
        const unsigned tap = (down - h * a.stride) * a.kernel_width + right - w * a.stride;
        const int64 at = place(p, h, w, a.out_height, a.out_width, a.channels);
        const taps held = *(const taps *)(a.tap + at);
        float f[VECTOR];
        unpack(*(const vector *)(a.dy + at), f);
        for (int c = 0; c < VECTOR; c++)
          if (tap_of(held, c) == tap) sum[c] += f[c];
      }
    }
    *(vector *)(a.dx + place(p, p.row, p.column, a.height, a.width, a.channels)) = pack(sum);
  }
}
