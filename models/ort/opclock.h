// How long work of an operator takes on the device.
#ifndef VICREG_OPCLOCK_H
#define VICREG_OPCLOCK_H

#include "customop.h"

// vr_time does something a few times, once before the clock starts, and gives the mean time
// of the others in ms. It waits for the device, and so is for runs that are not captured.
char *vr_time(vr_call *run, char *(*something)(void *of), void *of, float *ms);

#endif
