package server

import (
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
)

// A file of the index that cannot be written, beside a log that can, shows in the metrics, while
// changes go on.
func TestCheckpointErrorsInMetrics(t *testing.T) {
	path, weights := filepath.Join(t.TempDir(), "photos.index"), uint64(1)
	s, _ := keeping(t, path, false, &weights)
	if err := s.Load(); err != nil {
		t.Fatal(err)
	}
	tells(t, s, "vicreg_index_checkpoint_errors_total 0")
	reopenAs(t, path, os.O_RDONLY)
	t.Cleanup(func() { reopenAs(t, path, os.O_RDWR) }) // for closing
	for n := range 1100 {                              // changes of a page each: from 1000 pages on, the log is to be moved into the file
		text := strings.Repeat(fmt.Sprintf("%07d ", n), 1900)
		body := fmt.Sprintf(`{"vector":[1%s],"metadata":{"text":%q}}`, strings.Repeat(",1", s.current().Dim()-1), text)
		if w := ask(s, "PUT", "/items/a", []byte(body), "Content-Type", "application/json"); w.Code != http.StatusCreated && w.Code != http.StatusOK {
			t.Fatal(w.Code, w.Body)
		}
		if n%50 == 0 && !strings.Contains(ask(s, "GET", "/metrics", nil).Body.String(), "\nvicreg_index_checkpoint_errors_total 0\n") {
			return
		}
	}
	t.Error("no checkpoint has failed")
}

// reopenAs puts another descriptor of a file in place of all those that it is open by: with
// os.O_RDONLY, writes to it fail from then on.
func reopenAs(t *testing.T, path string, flag int) {
	t.Helper()
	names, err := filepath.Glob("/proc/self/fd/*")
	if err != nil || len(names) == 0 {
		t.Skip("there is no /proc")
	}
	f, err := os.OpenFile(path, flag, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	for _, name := range names {
		var fd int
		if to, err := os.Readlink(name); err != nil || to != path {
			continue
		}
		if _, err := fmt.Sscanf(filepath.Base(name), "%d", &fd); err != nil {
			t.Fatal(err)
		}
		if fd == int(f.Fd()) {
			continue
		}
		if err := syscall.Dup3(int(f.Fd()), fd, syscall.O_CLOEXEC); err != nil {
			t.Fatal(err)
		}
	}
}
