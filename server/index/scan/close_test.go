package scan

import (
	"math/rand/v2"
	"testing"
)

// points draws codes from -most to most.
func points(r *rand.Rand, n, most int) [][PointCodes]int8 {
	all := make([][PointCodes]int8, n)
	for i := range all {
		for k := range all[i] {
			all[i][k] = int8(r.IntN(2*most+1) - most)
		}
	}
	return all
}

func squareApart(x, y [PointCodes]int8) (sum int) {
	for k := range x {
		d := int(x[k]) - int(y[k])
		sum += d * d
	}
	return sum
}

// No point within the limit is missed, none beyond limit+1 is reported, and none that is not set.
func TestClose(t *testing.T) {
	forEach(t, func(t *testing.T) {
		r := rand.New(rand.NewPCG(4, 4))
		for _, n := range []int{1, 2, 5, 63, 64, 65, 131} {
			all := points(r, n, MaxPoint)
			for i := range all[:n/2] { // the farthest and the closest
				for k := range all[i] {
					all[i][k] = []int8{MaxPoint, -MaxPoint, MaxPoint - int8(k%2)}[i%3]
				}
			}
			p := NewPoints(n)
			for i := range all {
				p.Set(i, &all[i])
			}
			for _, limit := range []int{0, 32, farthest / 2, farthest - 1, farthest, farthest + 1000, squareApart(all[0], all[n-1])} {
				checkClose(t, p, all, limit)
			}
		}
	})
}

func checkClose(t *testing.T, p *Points, all [][PointCodes]int8, limit int) {
	t.Helper()
	blocks := (len(all) + PointBlock - 1) / PointBlock
	for a := range blocks {
		q := p.Near(a, limit)
		masks := make([]uint64, min(PointBlock, len(all)-a*PointBlock))
		for b := range blocks {
			p.Close(masks, q, b)
			for j := range masks {
				for i := range PointBlock {
					told := masks[j]>>i&1 == 1
					if b*PointBlock+i >= len(all) {
						if told {
							t.Fatalf("%d points: there is none at %d", len(all), b*PointBlock+i)
						}
						continue
					}
					square := squareApart(all[a*PointBlock+j], all[b*PointBlock+i])
					if square <= limit && !told || square > limit+1 && told {
						t.Fatalf("%d points: the square of a distance is %d, the limit %d, told %v", len(all), square, limit, told)
					}
				}
			}
		}
	}
}

func BenchmarkClose(b *testing.B) {
	all := points(rand.New(rand.NewPCG(5, 5)), 64*64, MaxPoint)
	p := NewPoints(len(all))
	for i := range all {
		p.Set(i, &all[i])
	}
	masks := make([]uint64, PointBlock)
	for _, k := range kernels {
		b.Run(k.name, func(b *testing.B) {
			active = k
			defer func() { active = kernels[0] }()
			q := p.Near(0, 100)
			for b.Loop() {
				for block := range 64 {
					p.Close(masks, q, block)
				}
			}
			b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N*64*64*64), "ns/pair")
		})
	}
}
