// How long an operator's work takes on the device.
#ifndef VICREG_OPCLOCK_H
#define VICREG_OPCLOCK_H

#include "customop.h"

// vr_time does something a few times, once before the clock starts, and returns the mean time of
// the others in ms. It waits for the device, so the run must not be captured.
char *vr_time(vr_call *run, char *(*something)(void *of), void *of, float *ms);

#endif
