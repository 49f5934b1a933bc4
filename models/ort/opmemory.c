// Device memory for a run, through ONNX Runtime's C API: KernelContext, and its struct
// OrtAllocator.
#include <stdlib.h>
#include <string.h>

#include "api.h"
#include "customop.h"

// The runtime's allocator: the head of its struct OrtAllocator, as it is since version 23 of the
// API.
typedef struct allocator allocator;
struct allocator {
  uint32_t version;
  void *(*alloc)(allocator *, size_t);
  void *free, *info, *reserve, *stats;
  void *(*alloc_on_stream)(allocator *, size_t, void *stream);
};

// on_stream allocates from another allocator on a stream, and does nothing else.
typedef struct {
  allocator head;
  allocator *from;
  void *stream;
} on_stream;

// allocate throws if the arena has no memory, and the exception unwinds this frame. So it is
// called by a function of the runtime that turns exceptions into a status.
static void *allocate(allocator *a, size_t bytes) {
  const on_stream *o = (const on_stream *)a;
  return o->from->alloc_on_stream(o->from, bytes, o->stream);
}

char *vr_scratch(vr_call *run, size_t bytes, void **memory) {
  *memory = NULL;
  if (bytes == 0) return NULL;
  // The runtime's own function for this, all that older releases have, ends the process if there
  // is no memory.
  if (vr_api_version < API_SYNC_STREAM)
    return vr_failed(
        STATUS(RUN_SCRATCH, void *, void *, size_t, void **)(run->context, run->node->memory, bytes, memory));
  on_stream a = {.head = {.version = API_VERSION, .alloc = allocate}, .from = run->node->allocator};
  char *error = vr_failed(STATUS(RUN_SYNC_STREAM, void *, void **)(run->context, &a.stream));
  if (error == NULL) error = vr_failed(STATUS(ALLOCATOR_ALLOC, void *, size_t, void **)(&a, bytes, memory));
  if (error == NULL && *memory == NULL) error = vr_error("the device has no memory left, of which %zu bytes are needed", bytes);
  return error;
}

void vr_release_scratch(vr_call *run, void *memory) {
  if (memory != NULL) free(vr_failed(STATUS(ALLOCATOR_FREE, void *, void *)(run->node->allocator, memory)));
}
