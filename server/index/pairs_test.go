package index

import (
	"fmt"
	"math"
	"testing"

	"vicreg/server/index/filter"
)

// All pairs of few items are compared, and of more items as many pairs as the API says.
func TestHowManyPairs(t *testing.T) {
	for n, want := range map[int]int{fewestItems: 45, 81: 81 * 80 / 2, 82: 40 * 82, 500: 20000, 600: 20000} {
		c := newCollection(2)
		changes := make([]change, n)
		for i := range changes {
			sin, cos := math.Sincos(float64(i))
			r := newRow([]float32{float32(sin), float32(cos)})
			changes[i] = change{id: fmt.Sprint(i), key: int64(i + 1), row: &r, meta: filter.Row{}}
		}
		c.apply(changes)
		if c.draw(); len(c.snapshot().pairs.scores) != want {
			t.Errorf("%d pairs of %d items, want %d", len(c.snapshot().pairs.scores), n, want)
		}
	}
}
