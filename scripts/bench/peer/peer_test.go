package peer

import (
	"math"
	"testing"
	"time"
)

func TestFigures(t *testing.T) {
	var f Figures
	f.Add("a", 0.91234)
	f.Add("b", 12345.6)
	f.Add("c", 100)
	f.Add("d", math.NaN())
	f.Add("a", 0.9)
	if got := f.Line(); got != " a=0.900 b=12346 c=100 d=none" {
		t.Errorf("%q", got)
	}
	if f.Least("b", "a", "x") != "0.900" || f.Least("x") != "none" {
		t.Error("least")
	}
}

func TestPercentile(t *testing.T) {
	var hundred []time.Duration
	for i := range 100 {
		hundred = append(hundred, time.Duration(i+1))
	}
	for q, want := range map[float64]time.Duration{0: 1, 0.5: 50, 0.99: 99, 0.999: 100, 1: 100} {
		if got := Percentile(hundred, q); got != want {
			t.Errorf("%v: got %d, want %d", q, got, want)
		}
	}
	if Percentile([]int{7}, 0.99) != 7 || Percentile([]int(nil), 0.5) != 0 {
		t.Error("of one or none")
	}
}
