// Kernels over many tensors at once; each block has a chunk of one of them. A launch takes as
// many tensors as fit into its argument, which a device limits to 4096 bytes.

#define AHEAD 4 // vectors that a thread loads from each tensor before it computes

// tensor_of finds the tensor that a block works on: the last whose first block is not after it.
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

// aligned reports whether vectors can be loaded from an address.
DEVICE int aligned(const void *at) { return (unsigned long long)at % sizeof(float4) == 0; }
