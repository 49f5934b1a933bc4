package dataset

import (
	"bytes"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"testing"

	"vicreg/pipeline/imaging"
)

// A Look sees each file once, including bad ones, and the image of each file it accepts, before
// that image is yielded.
func TestImagesLook(t *testing.T) {
	root, _ := folder(t, 12)
	spoil(t, root)
	set := index(t, root)
	var mu sync.Mutex
	files, pictures := map[int]int{}, map[int]int{}
	r := NewReader(set, ReaderConfig{MaxBad: 1, Look: &Look{
		File: func(i int, data []byte) bool {
			mu.Lock()
			defer mu.Unlock()
			files[i]++
			want, err := os.ReadFile(filepath.Join(root, set.Key(i)))
			if err != nil || !bytes.Equal(data, want) {
				t.Errorf("%s: saw %d bytes, the file has %d: %v", set.Key(i), len(data), len(want), err)
			}
			return i%3 != 0
		},
		Picture: func(i int, m *imaging.RGB) {
			mu.Lock()
			defer mu.Unlock()
			if pictures[i]++; m.W < 1 || len(m.Pix) != 3*m.W*m.H {
				t.Errorf("picture %d: %dx%d, %d bytes", i, m.W, m.H, len(m.Pix))
			}
		},
	}})
	all := make([]int, set.Len())
	for i := range all {
		all[i] = i
	}
	var got []int
	for p, err := range Images(t.Context(), r, all, pre, 3) {
		if err != nil {
			t.Fatal(err)
		}
		mu.Lock()
		if pictures[p.Index] != 1 {
			t.Errorf("picture %d was yielded before it was seen", p.Index)
		}
		mu.Unlock()
		got = append(got, p.Index)
	}
	bad := r.Quarantined()
	var want []int
	for i := range set.Len() {
		isBad := slices.ContainsFunc(bad, func(b Bad) bool { return b.Key == set.Key(i) })
		if i%3 != 0 && !isBad {
			want = append(want, i)
		}
		if files[i] > 1 || files[i] == 0 && !isBad || i%3 == 0 && (isBad || pictures[i] > 0) {
			t.Errorf("%s: seen %d times, decoded %d times, bad: %v", set.Key(i), files[i], pictures[i], isBad)
		}
	}
	if !slices.Equal(got, want) || len(bad) == 0 {
		t.Errorf("got %v, want %v; bad %v", got, want, bad)
	}
}
