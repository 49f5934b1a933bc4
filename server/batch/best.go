package batch

import "time"

// Point is the throughput at one batch size.
type Point struct {
	Size      int     `json:"size"`
	PerSecond float64 `json:"items_per_second"`
}

// gain is the factor by which a larger batch must improve throughput to be worth its latency.
const gain = 1.05

// Best finds the batch size that pays: the smallest of sizes (ascending) whose throughput is within
// 5 % of the best. It stops after two consecutive sizes that bring no improvement. measure runs one
// batch of the given size and returns its duration; it is called three times per size, and the
// shortest counts.
func Best(sizes []int, measure func(size int) (time.Duration, error)) (best int, seen []Point, err error) {
	top, idle := 0.0, 0
	for _, size := range sizes {
		if idle == 2 {
			break
		}
		var shortest time.Duration
		for i := range 3 {
			took, err := measure(size)
			if err != nil {
				return 0, nil, err
			}
			if i == 0 || took < shortest {
				shortest = took
			}
		}
		p := Point{size, float64(size) / max(shortest.Seconds(), 1e-9)}
		seen = append(seen, p)
		idle++
		if p.PerSecond > gain*top {
			idle = 0
		}
		top = max(top, p.PerSecond)
	}
	return pick(seen), seen, nil
}

// pick returns the smallest size whose throughput is within 5 % of the best.
func pick(seen []Point) int {
	top := 0.0
	for _, p := range seen {
		top = max(top, p.PerSecond)
	}
	for _, p := range seen {
		if gain*p.PerSecond >= top {
			return p.Size
		}
	}
	return 1
}
