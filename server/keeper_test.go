package server

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"vicreg/pipeline/usage"
	"vicreg/server/index"
	"vicreg/server/servertest"
)

// keeping is a server that owns an index file, with the model that weights points to, and its log
// lines about the index.
func keeping(t *testing.T, path string, rebuild bool, weights *uint64) (*Server, said) {
	t.Helper()
	log := said{slog.DiscardHandler, make(chan string, 10)}
	s := prepareLogging(t, func() ([]byte, error) { return servertest.Model(t, *weights), nil }, nil, slog.New(log))
	s.Items.Keep(path, rebuild)
	return s, log
}

// said is a log handler whose lines about the index can be waited for.
type said struct {
	slog.Handler
	lines chan string
}

func (said) Enabled(context.Context, slog.Level) bool { return true }

func (s said) Handle(_ context.Context, r slog.Record) error {
	if strings.HasPrefix(r.Message, "the index ") || r.Message == cannotBe {
		s.lines <- r.Message
	}
	return nil
}

// wait checks that the next line is this one.
func (s said) wait(t *testing.T, line string) {
	t.Helper()
	if got := <-s.lines; got != line {
		t.Fatalf("%q, want %q", got, line)
	}
}

const (
	fits     = "the index matches the model"
	cannotBe = "cannot rebuild the index"
)

// fill stores n photos, each with its own source file, and returns the files.
func fill(t *testing.T, s *Server, n int) (files []string) {
	t.Helper()
	folder := t.TempDir()
	for i := range n {
		file := filepath.Join(folder, fmt.Sprint(i, ".png"))
		if err := os.WriteFile(file, servertest.Photo(t, i), 0o600); err != nil {
			t.Fatal(err)
		}
		if w := ask(s, "PUT", fmt.Sprintf("/items/%d?source=%s&metadata={\"n\":%d}", i, file, i), servertest.Photo(t, i), "Content-Type", "image/png"); w.Code != http.StatusCreated {
			t.Fatalf("%d %s", w.Code, w.Body)
		}
		files = append(files, file)
	}
	return files
}

// finds checks that a search for photo i finds it.
func finds(t *testing.T, s *Server, i int) {
	t.Helper()
	w := ask(s, "POST", "/similar?k=1", servertest.Photo(t, i), "Content-Type", "image/png")
	if want := fmt.Sprintf(`"id":"%d"`, i); w.Code != http.StatusOK || !strings.Contains(w.Body.String(), want) {
		t.Errorf("%d %s, want %s", w.Code, w.Body, want)
	}
}

func TestKeepAcrossRuns(t *testing.T) {
	path, weights := filepath.Join(t.TempDir(), "photos.index"), uint64(1)
	s, _ := keeping(t, path, false, &weights)
	if err := s.Load(); err != nil {
		t.Fatal(err)
	}
	fill(t, s, 3)
	finds(t, s, 2)
	second, _ := keeping(t, path, false, &weights)
	if err := second.Load(); !errors.Is(err, index.ErrInUse) {
		t.Errorf("a second owner: %v", err)
	}
	if err := s.Close(t.Context()); err != nil {
		t.Fatal(err)
	}
	again, _ := keeping(t, path, false, &weights)
	if err := again.Load(); err != nil {
		t.Fatal(err)
	}
	finds(t, again, 2)
	if err := again.Close(t.Context()); err != nil {
		t.Fatal(err)
	}
	weights = 2
	var wrong *usage.Error
	other, _ := keeping(t, path, false, &weights)
	if err := other.Load(); !errors.Is(err, index.ErrModel) || !errors.As(err, &wrong) || !strings.Contains(err.Error(), "--rebuild") {
		t.Errorf("a model that the index does not belong to: %v", err)
	}
}

// A model with different vectors comes into service at once; the index is rebuilt in the
// background, and searching works again when that is done.
func TestRebuild(t *testing.T) {
	path, weights := filepath.Join(t.TempDir(), "photos.index"), uint64(1)
	s, log := keeping(t, path, true, &weights)
	if err := s.Load(); err != nil {
		t.Fatal(err)
	}
	fill(t, s, 20)
	first := s.current().Fingerprint()
	for weights = 2; weights < 4; weights++ {
		if err := s.Load(); err != nil {
			t.Fatal(err)
		}
		log.wait(t, fits)
		now := s.current().Fingerprint()
		if info := ask(s, "GET", "/info", nil).Body.String(); now == first || !strings.Contains(info, fmt.Sprintf(`"index":{"fingerprint":%q,"items":20,`, now)) {
			t.Fatalf("the model is %s: %s", now, info)
		}
		for i := range 20 {
			finds(t, s, i)
		}
		if w := ask(s, "GET", "/items/7", nil); !strings.Contains(w.Body.String(), `{"n":7}`) || !strings.Contains(w.Body.String(), fmt.Sprintf("%x", sha256.Sum256(servertest.Photo(t, 7)))) {
			t.Errorf("%s", w.Body)
		}
		if w := ask(s, "GET", "/items/7/thumbnail", nil); w.Code != http.StatusOK {
			t.Errorf("%d %s", w.Code, w.Body)
		}
	}
	if left, _ := filepath.Glob(path + ".rebuild*"); len(left) > 0 {
		t.Errorf("left behind: %v", left)
	}
	weights = 1
	if err := s.Close(t.Context()); err != nil {
		t.Fatal(err)
	}
	again, log := keeping(t, path, true, &weights) // a fresh start
	if err := again.Load(); err != nil {
		t.Fatal(err)
	}
	log.wait(t, fits)
	finds(t, again, 11)
}

// If an item cannot be rebuilt it is not lost: the index stays as it is, and reports why.
func TestRebuildWithoutFiles(t *testing.T) {
	path, weights := filepath.Join(t.TempDir(), "photos.index"), uint64(1)
	s, log := keeping(t, path, true, &weights)
	if err := s.Load(); err != nil {
		t.Fatal(err)
	}
	files := fill(t, s, 5)
	if err := errors.Join(os.Remove(files[1]), os.WriteFile(files[3], servertest.Photo(t, 9), 0o600)); err != nil {
		t.Fatal(err)
	}
	weights = 2
	if err := s.Load(); err != nil {
		t.Fatal(err)
	}
	log.wait(t, cannotBe)
	w := ask(s, "POST", "/similar", servertest.Photo(t, 0), "Content-Type", "image/png")
	for _, want := range []string{"model-mismatch", `at least 1 of its items cannot be recomputed, such as \"1\": its file is gone, has changed`, "DELETE /items/{id}", "SIGHUP", "--drop-missing"} {
		if w.Code != http.StatusConflict || !strings.Contains(w.Body.String(), want) {
			t.Errorf("%d %s, want %s", w.Code, w.Body, want)
		}
	}
	if strings.Contains(w.Body.String(), ".png") || strings.Contains(w.Body.String(), "no such file") {
		t.Errorf("a client is told of files: %s", w.Body)
	}
	if w := ask(s, "POST", "/embed", servertest.Photo(t, 0), "Content-Type", "image/png"); w.Code != http.StatusOK {
		t.Errorf("/embed: %d %s", w.Code, w.Body)
	}
	for _, next := range []struct {
		gone int
		line string
	}{{1, cannotBe}, {3, fits}} { // that the other file has changed shows once it is read
		if w := ask(s, "DELETE", fmt.Sprint("/items/", next.gone), nil); w.Code != http.StatusNoContent {
			t.Errorf("delete: %d %s", w.Code, w.Body)
		}
		if err := s.Load(); err != nil {
			t.Fatal(err)
		}
		log.wait(t, next.line)
		w := ask(s, "POST", "/similar", servertest.Photo(t, 0), "Content-Type", "image/png")
		if is := strings.Contains(w.Body.String(), `cannot be rebuilt: 1 of its items cannot be recomputed, such as \"3\"`); is != (next.line == cannotBe) {
			t.Errorf("without %d: %s", next.gone, w.Body)
		}
	}
	finds(t, s, 4)
	weights = 1
	if err := s.Load(); err != nil {
		t.Fatal(err)
	}
	if err := s.Close(t.Context()); err != nil { // during the rebuild
		t.Error(err)
	}
}
