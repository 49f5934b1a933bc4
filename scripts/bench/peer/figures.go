package peer

import (
	"math"
	"strconv"
	"strings"
)

// Figures are the key-value pairs of the last line, in insertion order.
type Figures struct {
	keys   []string
	values map[string]float64
}

// Add sets the figure of a key.
func (f *Figures) Add(key string, v float64) {
	if f.values == nil {
		f.values = map[string]float64{}
	}
	if _, known := f.values[key]; !known {
		f.keys = append(f.keys, key)
	}
	f.values[key] = v
}

// Line formats all figures, each preceded by a space.
func (f *Figures) Line() string {
	var b strings.Builder
	for _, k := range f.keys {
		b.WriteString(" " + k + "=" + number(f.values[k]))
	}
	return b.String()
}

// Least formats the smallest of the figures with these keys, "none" if there is none.
func (f *Figures) Least(keys ...string) string {
	v := math.NaN()
	for _, k := range keys {
		if x, ok := f.values[k]; ok && !(x >= v) {
			v = x
		}
	}
	return number(v)
}

// number formats v with as many digits as are meaningful for a measured time.
func number(v float64) string {
	switch a := math.Abs(v); {
	case math.IsNaN(v) || math.IsInf(v, 0):
		return "none"
	case a == math.Trunc(a) || a >= 1000:
		return strconv.FormatFloat(v, 'f', 0, 64)
	case a >= 10:
		return strconv.FormatFloat(v, 'f', 2, 64)
	}
	return strconv.FormatFloat(v, 'f', 3, 64)
}
