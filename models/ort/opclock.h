// How long work of an operator takes on the device.
#ifndef VICREG_OPCLOCK_H
#define VICREG_OPCLOCK_H

#include "customop.h"

// vr_clock measures on the stream of a run. Measuring waits for the device, so a run that does it
// must not be captured. vr_clock_free is needed after an error of vr_clock_make, too.
typedef struct {
  void *events[2];
} vr_clock;

char *vr_clock_make(vr_clock *clock);
void vr_clock_free(vr_clock *clock);

// vr_time does something a number of times and returns the time of all runs together in ms.
char *vr_time(vr_call *run, const vr_clock *clock, char *(*something)(void *of), void *of, int runs, float *ms);

#endif
