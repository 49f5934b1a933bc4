// Kernels over many tensors at once, of which each block has a chunk of one. A launch
// takes so many as find room in its argument, of which a device takes 4096 bytes.

#define AHEAD 4 // vectors that a thread loads of each tensor before it computes

// tensor_of finds the tensor that a block works on: the last one whose first block is not
// after it.
DEVICE int tensor_of(const int *first, int tensors) {
  int low = 0, high = tensors;
  while (high - low > 1) {
    const int middle = (low + high) / 2;
    if (first[middle] <= (int)blockIdx.x)
      low = middle;
    else
      high = middle;
  }
  return low;
}

// aligned tells whether vectors can be loaded from an address.
DEVICE int aligned(const void *at) { return (unsigned long long)at % sizeof(float4) == 0; }
