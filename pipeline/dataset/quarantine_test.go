package dataset

import (
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"
)

// until runs a loader until its error and returns the number of batches before it.
func until(t *testing.T, r *Reader, c LoaderConfig) (batches int, err error) {
	t.Helper()
	l, err := NewLoader(t.Context(), r, c)
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	for {
		b, err := l.Next()
		if err != nil {
			if _, again := l.Next(); again != err {
				t.Errorf("after %v comes %v", err, again)
			}
			return batches, err
		}
		batches++
		l.Release(b)
	}
}

// broken makes some images of a set unreadable.
func broken(t *testing.T, root string, keys ...string) {
	t.Helper()
	for _, key := range keys {
		raw(t, root, key, []byte("broken"))
	}
}

func TestTooManyBad(t *testing.T) {
	root, set := folder(t, 40)
	var some []string
	for i, key := range keys(set) {
		if i%2 == 0 {
			some = append(some, key)
		}
	}
	broken(t, root, some...)
	c := config()
	for share, want := range map[float64]string{0.2: "read images: 10 of 20 images", 0.49: "20 of 40", 0.5: "", 1: ""} {
		stopped, message := -1, ""
		for workers := 1; workers <= 4; workers++ {
			c.Workers, c.Prefetch = workers, workers
			batches, err := until(t, NewReader(set, ReaderConfig{MaxBad: share}), c)
			if want == "" {
				if err != io.EOF || batches != 20 {
					t.Errorf("share of %v: %v after %d batches", share, err, batches)
				}
				continue
			}
			if err == nil || !strings.Contains(err.Error(), want) || !strings.Contains(err.Error(), set.Source()) {
				t.Errorf("share of %v: error %v, want %q", share, err, want)
			}
			if stopped >= 0 && (batches != stopped || err.Error() != message) {
				t.Errorf("with %d workers a run ends after %d batches, else %d; %v, else %s", workers, batches, stopped, err, message)
			}
			stopped, message = batches, err.Error()
		}
	}
}

func TestAFewBadOnesAtTheStartAreNoReason(t *testing.T) {
	for _, row := range []struct {
		bad, seen, all int
		share          float64
		want           bool
	}{
		{1, 1, 1000, 0.01, false}, {4, 4, 1_000_000, 0.5, false}, {8, 32, 1_000_000, 0.01, false},
		{32, 32, 1_000_000, 0.01, true}, {128, 128, 1_000_000, 0.5, true}, {140, 256, 1_000_000, 0.5, false},
		{11, 1000, 1000, 0.01, true}, {10, 1000, 1000, 0.01, false}, {11, 100, 1000, 0.01, true},
	} {
		if got := (tally{row.seen, row.bad}).over(row.share, row.all); got != row.want {
			t.Errorf("%+v: over is %v", row, got)
		}
	}
}

func TestOfTheErrorsInABatchTheFirstRowsIsTold(t *testing.T) {
	b := &Batch{}
	for _, row := range []int{3, 1, 2} {
		b.fail(row, fmt.Errorf("row %d", row))
	}
	if b.err.Error() != "row 1" {
		t.Errorf("told is %v", b.err)
	}
}

// TestABadFolderAtTheBeginningIsNoReason makes a quarter of the images bad, all in the first
// folder.
func TestABadFolderAtTheBeginningIsNoReason(t *testing.T) {
	root := t.TempDir()
	write(t, root, "b/000.png", 1)
	data, err := os.ReadFile(filepath.Join(root, "b/000.png"))
	if err != nil {
		t.Fatal(err)
	}
	write(t, root, "a/000.png", 1)
	var all []int
	for i := range 400 {
		all = append(all, i)
		if i < 100 {
			raw(t, root, fmt.Sprintf("a/%03d.png", i), nil)
		} else {
			raw(t, root, fmt.Sprintf("b/%03d.png", i-100), data)
		}
	}
	set := index(t, root)
	for share, want := range map[float64]string{0.5: "", 0.2: "100 of 400 images in"} {
		var last error
		for _, last = range Images(t.Context(), NewReader(set, ReaderConfig{MaxBad: share}), all, pre, 2) {
		}
		if (last != nil) != (want != "") || last != nil && !strings.Contains(last.Error(), want) {
			t.Errorf("share of %v: %v, want %q", share, last, want)
		}
	}
}

func TestNothingGood(t *testing.T) {
	root, set := folder(t, 8)
	broken(t, root, keys(set)[1:]...)
	r := NewReader(set, ReaderConfig{MaxBad: 1})
	if _, err := until(t, r, config()); err != io.EOF {
		t.Errorf("with one good file: %v", err)
	}
	broken(t, root, keys(set)...)
	_, err := NewReader(set, ReaderConfig{MaxBad: 1}).Substitute(5)
	refused(t, err, "none of the 8 images in "+root)
	_, err = NewReader(set, ReaderConfig{MaxBad: 0.3}).Substitute(5)
	refused(t, err, "3 of 8 images in "+root)
	var file *BadFile
	if !errors.As(err, &file) || file.Key != set.Key(7) {
		t.Errorf("the last bad file is %v", file)
	}
}

// TestFilesThatVanishOrChange deletes and changes files between two epochs.
func TestFilesThatVanishOrChange(t *testing.T) {
	root, set := folder(t, 20)
	c := config()
	c.Epochs = 3
	l, err := NewLoader(t.Context(), NewReader(set, ReaderConfig{}), c)
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	r := l.reader
	for range 7 { // the second epoch has begun, and every file has been read
		b, err := l.Next()
		if err != nil {
			t.Fatal(err)
		}
		l.Release(b)
	}
	write(t, root, set.Key(3), 99)
	past := time.Now().Add(-time.Hour)
	if err := errors.Join(os.Remove(filepath.Join(root, set.Key(7))), os.Chtimes(filepath.Join(root, set.Key(11)), past, past)); err != nil {
		t.Fatal(err)
	}
	for {
		b, err := l.Next()
		if err == io.EOF {
			break
		}
		if err != nil {
			t.Fatal(err)
		}
		l.Release(b)
	}
	got := r.Quarantined()
	for i, want := range []Bad{{set.Key(3), "first read"}, {set.Key(7), "no such file or directory"}, {set.Key(11), "first read"}} {
		if len(got) != 3 || got[i].Key != want.Key || !strings.HasSuffix(got[i].Reason, want.Reason) {
			t.Errorf("in quarantine: %q, want %v at %d", got, want, i)
		}
	}
	// A new run takes the files as they are now.
	if _, err := until(t, NewReader(set, ReaderConfig{}), c); err != io.EOF {
		t.Error(err)
	}
}

// TestAFileOverwrittenBeforeARunIsUsed has an index of the file's previous contents.
func TestAFileOverwrittenBeforeARunIsUsed(t *testing.T) {
	root, at := t.TempDir(), filepath.Join(t.TempDir(), "index")
	for i := range 3 {
		write(t, root, fmt.Sprintf("%d.png", i), i)
	}
	settle(t, root)
	open(t, root, at)
	write(t, root, "0.png", 4)
	set := open(t, root, at)
	r := NewReader(set, ReaderConfig{})
	for range 2 {
		m, err := r.Image(0)
		if err != nil || m.W != 24 || set.Entry(0).W != 20 {
			t.Fatalf("%v, or not the new picture, or not the old index", err)
		}
	}
}

// TestTheMachinesErrorsAreNoFileFaults exhausts the file descriptors.
func TestTheMachinesErrorsAreNoFileFaults(t *testing.T) {
	_, set := folder(t, 8)
	r := NewReader(set, ReaderConfig{})
	exhaust(t, func() {
		_, err := r.Image(0)
		refused(t, err, "too many open files")
		if isBad(err) {
			t.Error("the file is blamed")
		}
		if _, err := until(t, r, config()); err == nil || !strings.Contains(err.Error(), "too many open files") {
			t.Errorf("a loader ends with %v", err)
		}
	})
	if len(r.Quarantined()) > 0 {
		t.Errorf("in quarantine: %v", r.Quarantined())
	}
	if _, err := r.Image(0); err != nil {
		t.Error(err)
	}
}

func TestEmptyFilesAndTooLargePicturesAreBad(t *testing.T) {
	root, _ := folder(t, 3)
	raw(t, root, "kind0/empty.png", nil)
	set := index(t, root)
	config := ReaderConfig{}
	config.Limits.Side = 21 // the images are 20, 21 and 22 wide
	r := NewReader(set, config)
	for i := range set.Len() {
		r.Image(i)
	}
	var got []string
	for _, b := range r.Quarantined() {
		got = append(got, b.Key)
	}
	if want := []string{"kind0/empty.png", "kind2/002.jpg"}; !slices.Equal(got, want) {
		t.Errorf("in quarantine %v, want %v", got, want)
	}
}

func TestReadingUsesItsBufferAgain(t *testing.T) {
	_, set := folder(t, 2)
	buf := make([]byte, 0, 1<<20)
	data, _, err := set.read(1, buf)
	if err != nil || &data[0] != &buf[:1][0] {
		t.Fatalf("%v, or other memory", err)
	}
	r, d := NewReader(set, ReaderConfig{}), desk{file: buf}
	defer d.decoder.Close()
	a, err := r.image(1, &d)
	if err != nil {
		t.Fatal(err)
	}
	b, err := r.image(1, &d)
	if err != nil || &a.Pix[0] != &b.Pix[0] || r.Decoded() != 2 {
		t.Errorf("%v, or the second picture lies elsewhere", err)
	}
}
