package dataset

import (
	"fmt"
	"image"
	"image/color"
	"image/jpeg"
	"image/png"
	"math"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// write creates a small image, different for every n, at root/key.
func write(t testing.TB, root, key string, n int) {
	t.Helper()
	path := filepath.Join(root, filepath.FromSlash(key))
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		t.Fatal(err)
	}
	f, err := os.Create(path)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	m := image.NewRGBA(image.Rect(0, 0, 20+n%5, 18+n%7))
	for i := range m.Pix {
		m.Pix[i] = uint8(i*(n+1)>>2 + 37*n)
	}
	m.Set(3, 3, color.White)
	if strings.EqualFold(filepath.Ext(key), ".png") {
		err = png.Encode(f, m)
	} else {
		err = jpeg.Encode(f, m, nil)
	}
	if err != nil {
		t.Fatal(err)
	}
}

// raw writes the given bytes to root/key.
func raw(t testing.TB, root, key string, data []byte) {
	t.Helper()
	if err := os.WriteFile(filepath.Join(root, filepath.FromSlash(key)), data, 0o644); err != nil {
		t.Fatal(err)
	}
}

// folder returns a set of n good images in three subfolders.
func folder(t testing.TB, n int) (string, *Set) {
	t.Helper()
	root := t.TempDir()
	for i := range n {
		write(t, root, fmt.Sprintf("kind%d/%03d.%s", i%3, i, [...]string{"jpg", "png"}[i%2]), i)
	}
	return root, index(t, root)
}

func index(t testing.TB, root string) *Set {
	t.Helper()
	s, err := Index(root)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func keys(s *Set) []string {
	var k []string
	for i := range s.Len() {
		k = append(k, s.Key(i))
	}
	return k
}

func TestIndex(t *testing.T) {
	root := t.TempDir()
	for i, key := range []string{"b/x/2.PNG", "b/1.jpeg", "a.jpg", "a-b/3.JPG", "a/9.png", ".hidden.jpg", ".git/1.jpg", "a/._9.png"} {
		write(t, root, key, i)
	}
	raw(t, root, "readme.txt", []byte("no picture"))
	raw(t, root, "a/noextension", nil)
	s := index(t, root)
	if got, want := keys(s), []string{"a-b/3.JPG", "a.jpg", "a/9.png", "b/1.jpeg", "b/x/2.PNG"}; !slices.Equal(got, want) {
		t.Errorf("keys %q, want %q", got, want)
	}
	var labels []string
	for i := range s.Len() {
		labels = append(labels, s.Label(i))
	}
	if want := []string{"a-b", "", "a", "b", "b"}; !slices.Equal(labels, want) {
		t.Errorf("labels %q, want %q", labels, want)
	}
}

func TestIndexRefuses(t *testing.T) {
	root := t.TempDir()
	raw(t, root, "file.txt", []byte("x"))
	for path, want := range map[string]string{
		filepath.Join(root, "missing"): "does not exist", filepath.Join(root, "file.txt"): "none of the listed files exists",
		root: "no image in",
	} {
		_, err := Index(path)
		if err == nil || !strings.Contains(err.Error(), want) || strings.Contains(err.Error(), "\n") || !strings.Contains(err.Error(), path) {
			t.Errorf("index %s: error %v, want one line with %q", path, err, want)
		}
	}
}

func numbered(n int) *Set {
	var b builder
	for i := range n {
		b.name(fmt.Sprintf("%06d.jpg", i))
	}
	t, _ := b.finish()
	return &Set{sources: []*source{{}}, table: t}
}

func TestSplitIsStable(t *testing.T) {
	const n, share = 20000, 0.05
	train, held := numbered(n).Split(share)
	if train.Len()+held.Len() != n {
		t.Fatalf("%d + %d of %d", train.Len(), held.Len(), n)
	}
	if d := math.Abs(float64(held.Len()) - n*share); d > 5*math.Sqrt(n*share) {
		t.Errorf("%d of %d held out, want about %v", held.Len(), n, n*share)
	}
	_, fewer := numbered(n / 2).Split(share)
	if !slices.Equal(keys(fewer), keys(held)[:fewer.Len()]) {
		t.Error("adding pictures moved others across the split")
	}
	if train, held := numbered(9).Split(0); held.Len() != 0 || train.Len() != 9 {
		t.Error("a share of 0 holds something out")
	}
	if train, _ := numbered(9).Split(1); train.Len() != 0 {
		t.Error("a share of 1 leaves something")
	}
}

// ShareOf of as many images as a share holds out selects the same images.
func TestShareOf(t *testing.T) {
	all := numbered(300)
	for _, share := range []float64{0.01, 0.05, 0.5, 1} {
		train, held := all.Split(share)
		few, some := all.Split(all.ShareOf(held.Len()))
		if held.Len() == 0 || !slices.Equal(keys(some), keys(held)) || !slices.Equal(keys(few), keys(train)) {
			t.Errorf("a share of %v holds %v out, as many as that are %v", share, keys(held), keys(some))
		}
	}
	for n, want := range map[int]int{0: 0, 2: 2, 300: 300, 301: 300} {
		if train, held := all.Split(all.ShareOf(n)); held.Len() != want || train.Len() != 300-want {
			t.Errorf("%d held out of %d, want %d", held.Len(), n, want)
		}
	}
}

func TestFingerprint(t *testing.T) {
	if five := numbered(5).Fingerprint(); five == numbered(6).Fingerprint() || five != numbered(5).Fingerprint() {
		t.Error("the fingerprint does not follow the keys")
	}
}
