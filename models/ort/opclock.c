#include "opclock.h"

#include <string.h>

static char *failure(void) { return strdup("CUDA's events fail"); }

char *vr_clock_make(vr_clock *clock) {
  *clock = (vr_clock){0};
  int failed = vr_cudnn.cudaEventCreate(&clock->events[0]) != 0 || vr_cudnn.cudaEventCreate(&clock->events[1]) != 0;
  return failed ? failure() : NULL;
}

void vr_clock_free(vr_clock *clock) {
  for (int i = 0; i < 2; i++)
    if (clock->events[i] != NULL) vr_cudnn.cudaEventDestroy(clock->events[i]);
}

char *vr_time(vr_call *run, const vr_clock *clock, char *(*something)(void *), void *of, int runs, float *ms) {
  char *error = NULL;
  int failed = vr_cudnn.cudaEventRecord(clock->events[0], run->stream) != 0;
  for (int i = 0; error == NULL && i < runs; i++) error = something(of);
  if (error != NULL) return error;
  failed = failed || vr_cudnn.cudaEventRecord(clock->events[1], run->stream) != 0 ||
           vr_cudnn.cudaEventSynchronize(clock->events[1]) != 0 ||
           vr_cudnn.cudaEventElapsedTime(ms, clock->events[0], clock->events[1]) != 0;
  return failed ? failure() : NULL;
}
