package ort

/*
#include "opconv.h"
*/
import "C"

import (
	"fmt"
	"time"
)

// Searches is what it took to choose kernels: convolutions of our own operators try several of
// cuDNN's when they first run.
type Searches struct {
	Count   int
	Time    time.Duration
	Longest time.Duration
	For     string // what the longest was for, in words

	// Moments counts the kinds of convolutions whose output is normalised, and Fused those that
	// compute its statistics as they write it.
	Moments, Fused int
}

// ConvSearches returns the searches that have found a kernel since its last call. It may be
// called at any time, and waits for one in progress.
func ConvSearches() Searches {
	var all C.vr_searches
	C.vr_take_searches(&all)
	s := Searches{Moments: int(all.moments), Fused: int(all.fused), Count: int(all.count), Time: seconds(all.seconds), Longest: seconds(all.longest)}
	if s.Count > 0 {
		s.For = describeConv(&all.of)
	}
	return s
}

// Sentence says what the searches took; it is "" if there were none.
func (s Searches) Sentence() string {
	if s.Count == 0 {
		return ""
	}
	sentence := fmt.Sprintf("chosen for %d convolutions in %.1f s, at most %.1f s for one (%s)", s.Count, s.Time.Seconds(), s.Longest.Seconds(), s.For)
	if s.Moments > 0 {
		sentence += fmt.Sprintf("; of %d kinds that are normalised %d take the statistics as they write", s.Moments, s.Fused)
	}
	return sentence
}

func seconds(s C.double) time.Duration { return time.Duration(float64(s) * float64(time.Second)) }

// describeConv returns such as "weight gradient, 7x7 by 2, [64 224 224 3] to [64 112 112 64]".
func describeConv(c *C.vr_conv_shape) string {
	what := map[C.int64_t]string{
		C.VR_FORWARD: "convolution", C.VR_INPUT_GRAD: "input gradient", C.VR_WEIGHT_GRAD: "weight gradient",
	}[c.direction]
	return fmt.Sprintf("%s, %dx%d by %d, %v to %v", what, c.w[1], c.w[2], c.stride, c.x, c.y)
}
