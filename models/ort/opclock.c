#include "opclock.h"

#include <string.h>

enum { TIMED_RUNS = 5 };

static char *between(vr_call *run, char *(*something)(void *), void *of, void *events[2], float *ms) {
  char *error = something(of);
  int failed = vr_cudnn.cudaEventRecord(events[0], run->stream) != 0;
  for (int i = 0; error == NULL && i < TIMED_RUNS; i++) error = something(of);
  if (error != NULL) return error;
  failed = failed || vr_cudnn.cudaEventRecord(events[1], run->stream) != 0 ||
           vr_cudnn.cudaEventSynchronize(events[1]) != 0 ||
           vr_cudnn.cudaEventElapsedTime(ms, events[0], events[1]) != 0;
  if (failed) return strdup("CUDA's events fail");
  *ms /= TIMED_RUNS;
  return NULL;
}

char *vr_time(vr_call *run, char *(*something)(void *), void *of, float *ms) {
  void *events[2] = {0};
  char *error = NULL;
  if (vr_cudnn.cudaEventCreate(&events[0]) != 0 || vr_cudnn.cudaEventCreate(&events[1]) != 0)
    error = strdup("CUDA's events fail");
  else error = between(run, something, of, events, ms);
  for (int i = 0; i < 2; i++)
    if (events[i] != NULL) vr_cudnn.cudaEventDestroy(events[i]);
  return error;
}
