package bulk

import (
	"testing"
	"time"

	"vicreg/models/ort"
	"vicreg/models/tensor"
	"vicreg/pipeline/encoder"
)

// The size doubles as long as that raises the throughput, whatever the first run of each size
// takes, and then stays.
func TestSizeOnADevice(t *testing.T) {
	for name, c := range map[string]struct {
		fixed, each time.Duration // per batch, and per picture in it
		want        int
	}{
		"a picture costs the same":   {0, time.Millisecond, 32},
		"a batch costs a little":     {16 * time.Millisecond, time.Millisecond, 256},
		"a batch costs next to none": {time.Millisecond, time.Millisecond, 32},
		"a batch costs some":         {4 * time.Millisecond, time.Millisecond, 64},
		"a batch costs all":          {time.Second, 0, mostPictures},
	} {
		s, seen := learning(), map[int]int{}
		for range 50 {
			n := s.next()
			took := c.fixed + time.Duration(n)*c.each
			if seen[n]++; seen[n] == 1 {
				took += 5 * time.Second
			}
			s.saw(n, took)
		}
		if s.next() != c.want {
			t.Errorf("%s: %d pictures, want %d; runs %v", name, s.next(), c.want, seen)
		}
		if larger := seen[2*c.want]; larger > 1+timed {
			t.Errorf("%s: %d runs of %d pictures", name, larger, 2*c.want)
		}
	}
}

// On the host, timing has no influence.
func TestSizeOnTheHost(t *testing.T) {
	for workers, want := range map[int]int{1: 32, 2: 16, 8: 4} {
		s := fixed(workers)
		for range 10 {
			s.saw(s.next(), time.Nanosecond)
		}
		if s.next() != want || s.padded {
			t.Errorf("%d workers: batches of %d, padded %v", workers, s.next(), s.padded)
		}
	}
}

// A device runs one batch at a time, on a session with all threads.
func TestMachineOfADevice(t *testing.T) {
	cuda := ort.Device{Kind: tensor.CUDA, Index: 1}
	m := Machine{RuntimeFlags: encoder.RuntimeFlags{Device: cuda}, Threads: 6}
	if want := (ort.Options{Device: cuda, Threads: 6}); m.Workers() != 1 || m.Session() != want || m.Alone() != want {
		t.Errorf("%d workers on %+v and %+v", m.Workers(), m.Session(), m.Alone())
	}
	m.Device = ort.Device{}
	if m.Workers() != 6 || m.Session().Threads != 1 || m.Alone().Threads != 6 {
		t.Errorf("%d workers on %+v and %+v", m.Workers(), m.Session(), m.Alone())
	}
}
