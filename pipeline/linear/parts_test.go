package linear

import (
	"encoding/binary"
	"math/rand/v2"
	"testing"
)

func file(i int) (h [32]byte) {
	binary.LittleEndian.PutUint64(h[:], uint64(i))
	return h
}

// Each kind is spread as evenly as possible, and so are all samples together.
func TestPartsAreStratified(t *testing.T) {
	counts := []int{1, 3, 5, 17, 100}
	var files [][32]byte
	var labels []int
	for kind, n := range counts {
		for range n {
			files, labels = append(files, file(len(files))), append(labels, kind)
		}
	}
	perKind, total := map[[2]int]int{}, [PartCount]int{}
	for i, part := range Parts(files, labels) {
		perKind[[2]int{labels[i], part}]++
		total[part]++
	}
	for kind, n := range counts {
		for part := range PartCount {
			if got := perKind[[2]int{kind, part}]; got < n/PartCount || got > (n+PartCount-1)/PartCount {
				t.Errorf("kind %d of %d: %d in part %d", kind, n, got, part)
			}
		}
	}
	for part, n := range total {
		if n < 24 || n > 28 {
			t.Errorf("%d of 126 in part %d", n, part)
		}
	}
}

// Copies stay together, even across kinds, and neither the order of the images nor the numbering of
// the kinds matters.
func TestPartsFollowFiles(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 2))
	var files [][32]byte
	var labels, renamed []int
	for range 300 {
		files, labels = append(files, file(r.IntN(120))), append(labels, r.IntN(3))
	}
	for _, l := range labels {
		renamed = append(renamed, 2-l)
	}
	want := map[[32]byte]int{}
	for i, part := range Parts(files, labels) {
		if p, seen := want[files[i]]; seen && p != part {
			t.Fatalf("copies in parts %d and %d", p, part)
		}
		want[files[i]] = part
	}
	r.Shuffle(len(files), func(i, j int) {
		files[i], files[j] = files[j], files[i]
		labels[i], labels[j] = labels[j], labels[i]
		renamed[i], renamed[j] = renamed[j], renamed[i]
	})
	for name, labels := range map[string][]int{"shuffled": labels, "renamed": renamed} {
		for i, part := range Parts(files, labels) {
			if want[files[i]] != part {
				t.Fatalf("%s: part %d, was %d", name, part, want[files[i]])
			}
		}
	}
}

func TestEnough(t *testing.T) {
	five, same := make([][32]byte, 10), make([][32]byte, 10)
	for i := range five {
		five[i], same[i] = file(i), file(i/4)
	}
	two := []int{0, 0, 0, 0, 0, 1, 1, 1, 1, 1}
	for _, c := range []struct {
		what   string
		files  [][32]byte
		labels []int
		want   bool
	}{
		{"five of each", five, two, true},
		{"copies", same, two, false},
		{"one kind", five, make([]int, 10), false},
		{"four of one", five, []int{0, 0, 0, 0, 0, 0, 1, 1, 1, 1}, false},
		{"none", nil, nil, false},
	} {
		if got := Enough(c.files, c.labels); got != c.want {
			t.Errorf("%s: %v", c.what, got)
		}
	}
}
