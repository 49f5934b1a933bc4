package pipeline

import (
	"bytes"
	"io"
	"strings"
	"testing"
)

// A leap is reported once, however long it lasts, and again for the next one.
func TestLeaps(t *testing.T) {
	for name, c := range map[string]struct {
		norms []float64 // each repeated as often as times says
		times []int
		want  []int // indices of the norms that start a leap
	}{
		"one":          {[]float64{1, 21, 1}, []int{50, 1, 50}, []int{50}},
		"too small":    {[]float64{1, 20, 1}, []int{50, 1, 50}, nil},
		"long":         {[]float64{1, 30}, []int{30, 60}, []int{30}},
		"two":          {[]float64{1, 30, 1, 30}, []int{50, 2, 1, 2}, []int{50, 53}},
		"too soon":     {[]float64{1, 1000}, []int{leapShort - 1, 1}, nil},
		"soon":         {[]float64{1, 1000}, []int{leapShort, 1}, []int{leapShort}},
		"early":        {[]float64{1, 9, 1}, []int{leapEarly - 1, 1, 50}, []int{leapEarly - 1}},
		"early, small": {[]float64{1, 8, 1}, []int{leapEarly - 1, 1, 50}, nil},
		"no more":      {[]float64{1, 9, 1}, []int{leapEarly, 1, 50}, nil},
		"of late":      {[]float64{100, 1, 50}, []int{100, 60, 1}, []int{160}},
		"to the old":   {[]float64{100, 1, 50}, []int{100, 40, 1}, nil},
		"from nothing": {[]float64{0, 1, 2}, []int{30, 1, 1}, []int{30}},
	} {
		l, n := leaps{}, 0
		var got []int
		for i, times := range c.times {
			for range times {
				if _, leapt := l.add(c.norms[i]); leapt {
					got = append(got, n)
				}
				n++
			}
		}
		if len(got) != len(c.want) || len(got) > 0 && got[0] != c.want[0] || len(got) > 1 && got[1] != c.want[1] {
			t.Errorf("%s: leaps at %v, want %v", name, got, c.want)
		}
	}
}

// Norms of a small run with LARS and eleven steps of warm-up, which never recovered, and the
// beginning of a calm one.
func TestLeapsInTheWarmUp(t *testing.T) {
	told := func(norms ...float64) (at int) {
		var l leaps
		for i, norm := range norms {
			if _, leapt := l.add(norm); leapt {
				return i + 1
			}
		}
		return 0
	}
	if at := told(23.4, 27.5, 9.5, 17.2, 12.4, 48.8, 87.3, 445.9, 500.5, 351.0, 35.7, 19.4); at != 8 {
		t.Errorf("told of at step %d", at)
	}
	if at := told(23.4, 27.5, 16.2, 7.0, 4.4, 5.2, 8.0, 5.8, 4.6, 3.3, 2.9, 2.8, 2.7, 3.4); at != 0 {
		t.Errorf("told of at step %d of a calm run", at)
	}
}

// The loop warns of a leap, but not if the step is rejected.
func TestTheLoopTellsOfLeaps(t *testing.T) {
	for _, c := range []struct {
		finite bool
		clip   float64
		help   string // "" for no warning
	}{{true, 0, "a lower --lr, a longer --warmup or --clip-norm"}, {true, 1, "a lower --lr or a longer --warmup"}, {false, 0, ""}} {
		f := &fakeStepper{finite: func(step int) bool { return step != 30 || c.finite }, norm: func(step int) float64 {
			if step == 30 {
				return 1234
			}
			return 2
		}}
		r := fakeRun(t, f, 20)
		r.Optimizer.ClipNorm = c.clip
		var said bytes.Buffer
		if err := r.loop(t.Context(), io.Discard, &said); err != nil {
			t.Fatal(err)
		}
		want := ""
		if c.help != "" {
			want = "vicreg train: step 31: the gradient norm jumped to 1.23e+03 from a median of 2; if the loss stays high, start again with " + c.help + "\n"
		}
		if said.String() != want {
			t.Errorf("it said\n%swant\n%s", &said, want)
		}
		if lines := metricsOf(t, r); strings.Count(lines, `"grad_norm":1234`) != 1 {
			t.Errorf("metrics\n%s", lines)
		}
	}
}
