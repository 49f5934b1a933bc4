package dataset

import (
	"context"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"testing"
	"testing/synctest"

	"vicreg/models/tensor"
	"vicreg/pipeline/imaging"
)

func config() LoaderConfig {
	return LoaderConfig{Recipe: imaging.Recipes()[1], Batch: 4, Size: 8, Seed: 3, Epochs: 2, Workers: 2}
}

// collect runs a loader to its end and returns a line for every batch.
func collect(t *testing.T, r *Reader, c LoaderConfig) []string {
	t.Helper()
	l, err := NewLoader(t.Context(), r, c)
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	var lines []string
	for {
		b, err := l.Next()
		if err == io.EOF {
			return lines
		}
		if err != nil {
			t.Fatal(err)
		}
		lines = append(lines, line(b))
		l.Release(b)
	}
}

// line describes a batch.
func line(b *Batch) string {
	v1, v2 := b.Tensors["view1"], b.Tensors["view2"]
	return fmt.Sprintf("%d/%d %v %08x %08x", b.Epoch, b.Index, v1.Shape,
		crc32.ChecksumIEEE(v1.Data.([]uint8)), crc32.ChecksumIEEE(v2.Data.([]uint8)))
}

// spoil breaks some files of a folder in every way that files break.
func spoil(t *testing.T, root string) {
	data, err := os.ReadFile(filepath.Join(root, "kind0/000.jpg"))
	if err != nil {
		t.Fatal(err)
	}
	raw(t, root, "kind0/001.jpg", data[:len(data)*2/3])
	raw(t, root, "kind1/001.png", nil)
	raw(t, root, "kind1/002.jpg", []byte("this is text\nand not a picture"))
	raw(t, root, "kind2/zzz.jpg", []byte("\xff\xd8\xff"))
}

// Peek returns what Next will return, and peeking loses nothing.
func TestLoaderPeeks(t *testing.T) {
	root, _ := folder(t, 20)
	set := index(t, root)
	l, err := NewLoader(t.Context(), NewReader(set, ReaderConfig{}), config())
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	want, got := collect(t, NewReader(set, ReaderConfig{}), config()), 0
	for {
		var shown tensor.Batch
		for shown == nil && got < len(want) {
			shown = l.Peek()
			runtime.Gosched()
		}
		b, err := l.Next()
		if err == io.EOF {
			break
		}
		if err != nil {
			t.Fatal(err)
		}
		if shown["view1"] != b.Tensors["view1"] || line(b) != want[got] {
			t.Fatalf("batch %d is %s, want %s", got, line(b), want[got])
		}
		got++
		l.Release(b)
	}
	if got != len(want) || l.Peek() != nil {
		t.Errorf("%d batches, want %d", got, len(want))
	}
}

func TestLoaderDoesNotDependOnWorkers(t *testing.T) {
	root, _ := folder(t, 20)
	spoil(t, root)
	set := index(t, root)
	var want []string
	for workers := 1; workers <= 4; workers++ {
		for _, cache := range []int64{0, 3000, 1 << 20} {
			c := config()
			c.Workers, c.Prefetch = workers, workers
			got := collect(t, NewReader(set, ReaderConfig{CacheBytes: cache}), c)
			if want == nil {
				want = got
			}
			if !slices.Equal(got, want) {
				t.Fatalf("%d workers, cache of %d bytes:\n%s\nwant\n%s", workers, cache, strings.Join(got, "\n"), strings.Join(want, "\n"))
			}
		}
	}
	if len(want) != 2*(set.Len()/4) || !strings.HasPrefix(want[0], "0/0 [4 8 8 3] ") || !strings.HasPrefix(want[len(want)-1], "1/4 ") {
		t.Errorf("batches:\n%s", strings.Join(want, "\n"))
	}
	if n := len(slices.Compact(slices.Sorted(slices.Values(want)))); n != len(want) {
		t.Error("two batches are equal")
	}
}

func TestLoaderResumes(t *testing.T) {
	root, _ := folder(t, 20)
	spoil(t, root)
	set := index(t, root)
	c := config()
	whole := collect(t, NewReader(set, ReaderConfig{}), c)
	for i := range whole {
		c.Epoch, c.Start = i/5, i%5
		if got := collect(t, NewReader(set, ReaderConfig{}), c); !slices.Equal(got, whole[i:]) {
			t.Errorf("resumed at %d:\n%s\nwant\n%s", i, strings.Join(got, "\n"), strings.Join(whole[i:], "\n"))
		}
	}
	c.Epoch, c.Start = 0, 5 // the end of the first epoch is the beginning of the second
	if got := collect(t, NewReader(set, ReaderConfig{}), c); !slices.Equal(got, whole[5:]) {
		t.Errorf("resumed at the end of an epoch: %q", got)
	}
}

// The parts of several processes make up the batches of a single one.
func TestLoaderParts(t *testing.T) {
	_, set := folder(t, 21)
	views := func(rank, ranks int) (all []string) {
		c := config()
		c.Rank, c.Ranks = rank, ranks
		l, err := NewLoader(t.Context(), NewReader(set, ReaderConfig{}), c)
		if err != nil {
			t.Fatal(err)
		}
		defer l.Close()
		for {
			b, err := l.Next()
			if err == io.EOF {
				return all
			}
			if err != nil {
				t.Fatal(err)
			}
			for _, view := range []string{"view1", "view2"} {
				all = append(all, string(b.Tensors[view].Data.([]uint8)))
			}
			l.Release(b)
		}
	}
	whole, first, second := views(0, 1), views(0, 2), views(1, 2)
	if len(whole) != 2*2*(set.Len()/4) || len(first) != len(whole) || len(second) != len(whole) {
		t.Fatalf("%d, %d and %d views", len(whole), len(first), len(second))
	}
	for i := range whole {
		if first[i]+second[i] != whole[i] {
			t.Errorf("view %d is not made of its parts", i)
		}
	}
}

func TestSubstitute(t *testing.T) {
	root, _ := folder(t, 6)
	spoil(t, root)
	set := index(t, root) // 0/000 0/001bad 0/003 1/001bad 1/002bad 1/004 2/002 2/005 2/zzz bad, and 1/001.png was good
	want := map[string]string{
		"kind0/001.jpg": "kind0/003.png", "kind1/001.png": "kind1/004.jpg", "kind1/002.jpg": "kind1/004.jpg",
		"kind2/zzz.jpg": "kind0/000.jpg", "kind0/000.jpg": "kind0/000.jpg",
	}
	r := NewReader(set, ReaderConfig{})
	for i, key := range keys(set) {
		other, ok := want[key]
		if !ok {
			continue
		}
		got, err := r.Substitute(i)
		if err != nil {
			t.Fatal(err)
		}
		m, err := r.Image(slices.Index(keys(set), other))
		if err != nil {
			t.Fatal(err)
		}
		if !slices.Equal(got.Pix, m.Pix) {
			t.Errorf("%s is not replaced by %s", key, other)
		}
	}
	var lines []string
	for _, b := range r.Quarantined() {
		lines = append(lines, b.Key+": "+b.Reason)
	}
	list := strings.Join(lines, "\n")
	for i, part := range []string{"kind0/001.jpg: file is truncated", "kind1/001.png: file is empty", "kind1/002.jpg: not a JPEG, PNG, WebP", "kind2/zzz.jpg: "} {
		if i >= len(lines) || !strings.HasPrefix(lines[i], part) {
			t.Errorf("quarantine lacks %q at %d:\n%s", part, i, list)
		}
	}
}

func TestLoaderRefuses(t *testing.T) {
	_, set := folder(t, 5)
	for name, change := range map[string]func(c *LoaderConfig){
		"larger than the set":         func(c *LoaderConfig) { c.Batch = 6 },
		"batch of 0":                  func(c *LoaderConfig) { c.Batch = 0 },
		"view of 0":                   func(c *LoaderConfig) { c.Size = 0 },
		"no batch 2":                  func(c *LoaderConfig) { c.Start = 2 },
		"part 2 of 2 of a batch of 4": func(c *LoaderConfig) { c.Rank, c.Ranks = 2, 2 },
		"part 0 of 3 of a batch of 4": func(c *LoaderConfig) { c.Ranks = 3 },
		"probability":                 func(c *LoaderConfig) { c.Recipe.Views[0].Grey = 2 },
	} {
		c := config()
		change(&c)
		if _, err := NewLoader(t.Context(), NewReader(set, ReaderConfig{}), c); err == nil || !strings.Contains(err.Error(), name) {
			t.Errorf("%s: error %v", name, err)
		}
	}
}

// TestLoaderCancellation runs in a synctest bubble, which fails if a goroutine outlives it.
func TestLoaderCancellation(t *testing.T) {
	_, set := folder(t, 40)
	for taken := range 5 {
		synctest.Test(t, func(t *testing.T) {
			ctx, cancel := context.WithCancel(t.Context())
			defer cancel()
			c := config()
			c.Epochs = 1000
			l, err := NewLoader(ctx, NewReader(set, ReaderConfig{}), c)
			if err != nil {
				t.Fatal(err)
			}
			next := func() error {
				b, err := l.Next()
				if err == nil {
					l.Release(b)
				}
				return err
			}
			for range taken {
				if err := next(); err != nil {
					t.Fatal(err)
				}
			}
			if taken%2 == 0 {
				cancel()
				for err == nil { // finished batches may still be returned
					err = next()
				}
				if !errors.Is(err, context.Canceled) {
					t.Errorf("after a cancellation: %v", err)
				}
			}
			l.Close()
			if next() == nil {
				t.Error("a batch after close")
			}
		})
	}
}

func TestLoaderHoldsTheBatchUntilRelease(t *testing.T) {
	_, set := folder(t, 24)
	c := config()
	c.Prefetch = 1
	l, err := NewLoader(t.Context(), NewReader(set, ReaderConfig{}), c)
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	a, _ := l.Next()
	a.Tensors["lr"] = nil
	copied := slices.Clone(a.Tensors["view1"].Data.([]uint8))
	b, _ := l.Next() // the second buffer, and there is no third
	if a == nil || b == nil || &a.Tensors["view1"].Data.([]uint8)[0] == &b.Tensors["view1"].Data.([]uint8)[0] {
		t.Fatal("two batches share their memory")
	}
	if !slices.Equal(copied, a.Tensors["view1"].Data.([]uint8)) {
		t.Error("a batch changed before its release")
	}
	l.Release(a)
	again, err := l.Next()
	if err != nil || again != a || again.Index != 2 {
		t.Errorf("a released batch is not used again: %v", err)
	}
	if _, ok := again.Tensors["lr"]; !ok {
		t.Error("the entry of the user is gone")
	}
	if l.Waited() <= 0 {
		t.Error("no waiting time is reported")
	}
}

func TestLoaderFillsTheUsersTensors(t *testing.T) {
	_, set := folder(t, 20)
	c := config()
	want := collect(t, NewReader(set, ReaderConfig{}), c)
	var given []tensor.Batch
	c.Alloc = func() (tensor.Batch, error) {
		b := tensor.Batch{"view1": tensor.New(tensor.Uint8, 4, 8, 8, 3), "view2": tensor.New(tensor.Uint8, 4, 8, 8, 3), "lr": tensor.Of([]float32{1})}
		given = append(given, b)
		return b, nil
	}
	if got := collect(t, NewReader(set, ReaderConfig{}), c); !slices.Equal(got, want) || len(given) != 3 {
		t.Errorf("%d batches given; got\n%s\nwant\n%s", len(given), strings.Join(got, "\n"), strings.Join(want, "\n"))
	}
	l, err := NewLoader(t.Context(), NewReader(set, ReaderConfig{}), c)
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	b, err := l.Next()
	if err != nil || !slices.ContainsFunc(given[3:], func(g tensor.Batch) bool { return g["view1"] == b.Tensors["view1"] && g["lr"] == b.Tensors["lr"] }) {
		t.Errorf("the batch is not one that was given: %v", err)
	}
	c.Alloc = func() (tensor.Batch, error) { return nil, errors.New("no memory left") }
	_, err = NewLoader(t.Context(), NewReader(set, ReaderConfig{}), c)
	refused(t, err, "load images: no memory left")
	for _, wrong := range []*tensor.Tensor{nil, tensor.New(tensor.Uint8, 4, 8, 9, 3), tensor.New(tensor.Int8, 4, 8, 8, 3)} {
		c.Alloc = func() (tensor.Batch, error) {
			return tensor.Batch{"view1": tensor.New(tensor.Uint8, 4, 8, 8, 3), "view2": wrong}, nil
		}
		_, err = NewLoader(t.Context(), NewReader(set, ReaderConfig{}), c)
		refused(t, err, "no tensor view2 for uint8[4 8 8 3]")
	}
}

// TestCacheDecodesOnce deletes the files after the first epoch.
func TestCacheDecodesOnce(t *testing.T) {
	root, set := folder(t, 8)
	c := config()
	want := collect(t, NewReader(set, ReaderConfig{}), c)
	r := NewReader(set, ReaderConfig{CacheBytes: 1 << 20})
	first, second := c, c
	first.Epochs, second.Epoch = 1, 1
	got := collect(t, r, first)
	if r.Decoded() != 8 {
		t.Errorf("%d pictures decoded in the first epoch of 8", r.Decoded())
	}
	if err := os.RemoveAll(root); err != nil {
		t.Fatal(err)
	}
	got = append(got, collect(t, r, second)...)
	if !slices.Equal(got, want) || len(r.Quarantined()) != 0 || r.Decoded() != 8 {
		t.Errorf("with the cache:\n%q\nwant\n%q", got, want)
	}
}

func TestCacheKeepsItsBudget(t *testing.T) {
	_, set := folder(t, 8)
	r := NewReader(set, ReaderConfig{CacheBytes: 3000}) // images have 1,080 bytes and more
	collect(t, r, config())
	kept := 0
	for i := range r.cache {
		if m := r.cache[i].Load(); m != nil {
			kept += len(m.Pix)
		}
	}
	if kept == 0 || kept > 3000 || int64(kept)+r.free.Load() != 3000 {
		t.Errorf("%d bytes are kept, %d are free, of 3000", kept, r.free.Load())
	}
}

// TestLoaderAllocatesNothing loads epochs of cached images.
func TestLoaderAllocatesNothing(t *testing.T) {
	_, set := folder(t, 40)
	c := config()
	c.Batch, c.Epochs, c.Workers = 20, 1<<30, 1
	l, err := NewLoader(t.Context(), NewReader(set, ReaderConfig{CacheBytes: 1 << 20}), c)
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	next := func() {
		b, err := l.Next()
		if err != nil {
			t.Fatal(err)
		}
		l.Release(b)
	}
	for range 20 { // everything decoded, every scratch buffer at full size
		next()
	}
	if n := testing.AllocsPerRun(40, next); n > 0 {
		t.Errorf("%v allocations a batch of 20 pictures", n)
	}
}

// BenchmarkLoader loads CIFAR-sized images from the cache, one batch per iteration.
func BenchmarkLoader(b *testing.B) {
	_, set := folder(b, 300)
	c := config()
	c.Batch, c.Size, c.Epochs, c.Workers = 256, 32, 1<<30, 0
	l, err := NewLoader(b.Context(), NewReader(set, ReaderConfig{CacheBytes: 1 << 24}), c)
	if err != nil {
		b.Fatal(err)
	}
	defer l.Close()
	for b.Loop() {
		batch, err := l.Next()
		if err != nil {
			b.Fatal(err)
		}
		l.Release(batch)
	}
	b.ReportMetric(float64(b.N*256)/b.Elapsed().Seconds(), "images/s")
}
