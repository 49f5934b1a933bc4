package steps

import (
	"fmt"
	"slices"

	"vicreg/scripts/bench/peer"
)

// Ratios are ours relative to the best of the others'.
type Ratios struct{ Time, Memory float64 }

// InTurns keeps all sides running and alternates between them step by step, so that background load
// affects all of them alike. The first side is ours. It prints a line per side; a ratio is the
// median over the rounds of ours relative to the side with the lowest median.
func InTurns(sides []Side, rounds, batch int) (r Ratios, err error) {
	var all []*peer.Process
	defer func() {
		for _, p := range all {
			p.Stop()
		}
	}()
	for _, s := range sides {
		p, err := s.Start()
		if err != nil {
			return r, err
		}
		all = append(all, p)
	}
	times := make([][]float64, len(all))
	for round := range rounds + 1 {
		for i, p := range all {
			var answer took
			if err := p.Ask("step", &answer); err != nil {
				return r, err
			}
			if round > 0 { // the first is warm-up
				times[i] = append(times[i], answer.Ms)
			}
		}
	}
	return compare(all, times, batch)
}

// took is the answer to "step".
type took struct{ Ms, Loss float64 }

func compare(all []*peer.Process, times [][]float64, batch int) (Ratios, error) {
	bytes := make([]float64, len(all))
	best := 1
	for i, p := range all {
		var answer struct{ Bytes float64 }
		if err := p.Ask("mem", &answer); err != nil {
			return Ratios{}, err
		}
		bytes[i] = answer.Bytes
		fmt.Printf("  %-22s median %7.0f ms  min %7.0f ms  %6.1f images/s  peak %5.0f MB\n",
			p.Name, peer.Median(times[i]), slices.Min(times[i]), 1000*float64(batch)/peer.Median(times[i]), answer.Bytes/1e6)
		if i > 0 && peer.Median(times[i]) < peer.Median(times[best]) {
			best = i
		}
	}
	var paired []float64
	for round, ms := range times[0] {
		paired = append(paired, ms/times[best][round])
	}
	r := Ratios{peer.Median(paired), bytes[0] / slices.Min(bytes[1:])}
	fmt.Printf("  ratio %.3f (%.3f to %.3f over the rounds, %.3f of the minima), memory %.3f\n",
		r.Time, slices.Min(paired), slices.Max(paired), slices.Min(times[0])/slices.Min(times[best]), r.Memory)
	return r, nil
}
