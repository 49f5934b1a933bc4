package batch

import "time"

// Point is the throughput at one batch size.
type Point struct {
	Size      int     `json:"size"`
	PerSecond float64 `json:"items_per_second"`
}

// gain is by how much a larger batch must be faster per item to be worth its wait.
const gain = 1.05

// Best finds the batch size that pays: of sizes, which ascend, the smallest whose items
// a second are within 5 % of the best. It gives up after two sizes that were no better
// than those before. measure runs a batch of that size and tells how long
// it took; it is called a few times for each, and the shortest counts.
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

// pick is the smallest size whose items a second are within 5 % of the best.
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
