package server

import (
	"bytes"
	"context"
	"crypto/sha256"
	"fmt"
	"image"
	"image/png"
	"io"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"golang.org/x/image/tiff"

	"vicreg/pipeline/usage"
	"vicreg/server/servertest"
)

// reasons is a log handler like said that also records why items cannot be rebuilt.
type reasons struct {
	said
	kept *[]string
}

func (r reasons) Handle(ctx context.Context, line slog.Record) error {
	if line.Message == "cannot recompute an item" {
		line.Attrs(func(a slog.Attr) bool {
			if a.Key == "error" {
				*r.kept = append(*r.kept, a.Value.String())
			}
			return true
		})
	}
	return r.said.Handle(ctx, line)
}

// remaking is a server that is rebuilding its index for another model. The items have these source
// files and were stored by their vectors, as vicreg index add does, without the server checking the
// files.
func remaking(t *testing.T, change func(*Config), files map[string][]byte) (*Server, reasons) {
	t.Helper()
	weights := uint64(1)
	log := reasons{said{slog.DiscardHandler, make(chan string, 10)}, new([]string)}
	s := prepareLogging(t, func() ([]byte, error) { return servertest.Model(t, weights), nil }, change, slog.New(log))
	s.Items.Keep(filepath.Join(t.TempDir(), "photos.index"), true)
	t.Cleanup(func() { s.Close(context.Background()) })
	if err := s.Load(); err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	for name, data := range files {
		path := filepath.Join(dir, name)
		if err := os.WriteFile(path, data, 0o600); err != nil {
			t.Fatal(err)
		}
		vector := strings.TrimSuffix(strings.Repeat("1,", s.current().Dim()), ",")
		body := fmt.Sprintf(`{"vector": [%s], "source": %q, "sha256": "%x"}`, vector, path, sha256.Sum256(data))
		if w := ask(s, "PUT", "/items/"+name, []byte(body), "Content-Type", asJSON); w.Code != 201 {
			t.Fatal(w.Code, w.Body)
		}
	}
	weights = 2
	if err := s.Load(); err != nil {
		t.Fatal(err)
	}
	return s, log
}

// A file on the server's own disk may be TIFF; one sent by a client may not, even after the server
// has embedded the same bytes.
func TestRebuildReadsTIFF(t *testing.T) {
	photo := servertest.Photo(t, 3)
	m, err := png.Decode(bytes.NewReader(photo))
	if err != nil {
		t.Fatal(err)
	}
	var file bytes.Buffer
	if err := tiff.Encode(&file, m, nil); err != nil {
		t.Fatal(err)
	}
	s, log := remaking(t, nil, map[string][]byte{"a.tif": file.Bytes()})
	log.wait(t, fits)
	found := read[similarReply](t, ask(s, "POST", "/similar", photo, "Content-Type", "image/png"), 200)
	if hits := *found.Data[0].Results; len(hits) != 1 || hits[0].ID != "a.tif" || hits[0].Score < 0.99999 {
		t.Errorf("%+v", hits)
	}
	if w := ask(s, "GET", "/items/a.tif/thumbnail", nil); w.Code != 200 {
		t.Errorf("%d %s", w.Code, w.Body)
	}
	if w := ask(s, "POST", "/embed", file.Bytes(), "Content-Type", "image/png"); w.Code != 422 || !strings.Contains(w.Body.String(), "the server does not accept TIFF") {
		t.Errorf("a client's: %d %s", w.Code, w.Body)
	}
}

// A file that is too large for the server stops the rebuild before any work is done, and is named.
func TestRebuildNamesWhatIsTooLarge(t *testing.T) {
	var wide bytes.Buffer
	if err := png.Encode(&wide, image.NewGray(image.Rect(0, 0, 17000, 2))); err != nil {
		t.Fatal(err)
	}
	files := map[string][]byte{"wide.png": wide.Bytes(), "good.png": servertest.Photo(t, 0)}
	s, log := remaking(t, nil, files)
	log.wait(t, cannotBe)
	if why := strings.Join(*log.kept, "\n"); strings.Count(why, "\n") > 0 ||
		!strings.HasSuffix(why, "wide.png: picture of 17000x2 pixels is over the limit of 16384 per side and 50000000 in total; raise it with --max-pixels") {
		t.Errorf("the log has %q", why)
	}
	w := ask(s, "POST", "/similar", servertest.Photo(t, 0), "Content-Type", "image/png")
	if w.Code != 409 || !strings.Contains(w.Body.String(), "or is too large or too slow for the server") || strings.Contains(w.Body.String(), "/wide.png") {
		t.Errorf("%d %s", w.Code, w.Body)
	}
	_, log = remaking(t, func(c *Config) { c.Limits.Pixels, c.Limits.Side = 34000, 34000 }, files)
	log.wait(t, fits)
}

// --max-pixels applies to images of any shape, as in all commands.
func TestMaxPixelsMovesTheSide(t *testing.T) {
	for args, want := range map[string]int{"": 16384, "--max-pixels 34000": 34000, "--max-pixels 50000000": 50_000_000} {
		f, fs := newServeFlags(io.Discard)
		err := usage.Parse(fs, strings.Fields(args))
		f.suit(func(name string) bool { return usage.Given(fs, name) })
		if err != nil || f.Limits.Side != want {
			t.Errorf("%q: %v, sides up to %d, want %d", args, err, f.Limits.Side, want)
		}
	}
}

// Items without an absolute path cannot be rebuilt, whatever the working directory: the answer
// counts them, gives the reason of the first and what to do, and the log the reasons of all.
func TestRebuildNamesWhatHasNoPath(t *testing.T) {
	t.Chdir(t.TempDir())
	photo := servertest.Photo(t, 0)
	if err := os.WriteFile("a.png", photo, 0o600); err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct{ query, why, told string }{
		{"", "its image was sent without a path on this disk, and images are not stored", `such as \"x\": its image was sent without a path on this disk`},
		{"?source=a.png", "its path is not absolute: a.png", `such as \"x\": its path is not absolute: a.png`},
		{"?namespace=pets&source=a.png", "its path is not absolute: a.png", `such as \"x\" in the namespace \"pets\": its path`},
	} {
		weights := uint64(1)
		log := reasons{said{slog.DiscardHandler, make(chan string, 10)}, new([]string)}
		s := prepareLogging(t, func() ([]byte, error) { return servertest.Model(t, weights), nil }, nil, slog.New(log))
		s.Items.Keep(filepath.Join(t.TempDir(), "photos.index"), true)
		if err := s.Load(); err != nil {
			t.Fatal(err)
		}
		if w := ask(s, "PUT", "/items/x"+c.query, photo, "Content-Type", "image/png"); w.Code != 201 {
			t.Fatal(w.Code, w.Body)
		}
		weights = 2
		if err := s.Load(); err != nil {
			t.Fatal(err)
		}
		log.wait(t, cannotBe)
		if why := strings.Join(*log.kept, "\n"); why != c.why {
			t.Errorf("%q: the log has %q", c.query, why)
		}
		w := ask(s, "POST", "/similar", photo, "Content-Type", "image/png")
		for _, want := range []string{"at least 1 of its items cannot be recomputed, " + c.told, "DELETE /items/{id}", "send the server SIGHUP", "vicreg index rebuild FILE --model FILE"} {
			if w.Code != 409 || !strings.Contains(w.Body.String(), want) {
				t.Errorf("%q: %d %s, want %s", c.query, w.Code, w.Body, want)
			}
		}
	}
}
