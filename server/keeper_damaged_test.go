package server

import (
	"database/sql"
	"fmt"
	"net/http"
	"path/filepath"
	"strings"
	"testing"

	_ "github.com/mattn/go-sqlite3"

	"vicreg/server/servertest"
)

const damagedLine = "the index has damaged items, which are left out"

// rot changes the metadata of an item of fill in the file, whether or not that is in use.
func rot(t *testing.T, path string, i int) {
	t.Helper()
	db, err := sql.Open("sqlite3", path)
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	if _, err := db.Exec("UPDATE items SET metadata = '{}' WHERE id = ?", fmt.Sprint(i)); err != nil {
		t.Fatal(err)
	}
}

// damagedItems checks the number of damaged items in the metrics.
func damagedItems(t *testing.T, s *Server, n int) {
	t.Helper()
	if text := ask(s, "GET", "/metrics", nil).Body.String(); !strings.Contains(text, fmt.Sprintf("\nvicreg_index_damaged_items %d\n", n)) {
		t.Errorf("the metrics do not have %d damaged items", n)
	}
}

// A server starts with an index that has a damaged item, and goes on when one rots while it runs.
// It says so, answers without them, and has them stored again or deleted.
func TestKeepDamaged(t *testing.T) {
	path, weights := filepath.Join(t.TempDir(), "photos.index"), uint64(1)
	s, _ := keeping(t, path, false, &weights)
	if err := s.Load(); err != nil {
		t.Fatal(err)
	}
	fill(t, s, 6)
	if err := s.Close(t.Context()); err != nil {
		t.Fatal(err)
	}
	rot(t, path, 2)
	s, log := keeping(t, path, false, &weights)
	if err := s.Load(); err != nil {
		t.Fatal(err)
	}
	log.wait(t, damagedLine)
	damagedItems(t, s, 1)
	rot(t, path, 4)
	search := func(hits int) {
		t.Helper()
		w := ask(s, "POST", "/similar?k=6", servertest.Photo(t, 0), "Content-Type", "image/png")
		if got := strings.Count(w.Body.String(), `"id":`); w.Code != http.StatusOK || got != hits {
			t.Errorf("%d with %d hits, want %d: %s", w.Code, got, hits, w.Body)
		}
	}
	search(4)
	log.wait(t, damagedLine)
	damagedItems(t, s, 2)
	for _, i := range []string{"2", "4"} {
		if w := ask(s, "GET", "/items/"+i, nil); w.Code != http.StatusInternalServerError || !strings.Contains(w.Body.String(), "is damaged: store it again") {
			t.Errorf("%d %s", w.Code, w.Body)
		}
	}
	if w := ask(s, "POST", "/similar", []byte(`{"id": "2"}`), "Content-Type", asJSON); w.Code != http.StatusInternalServerError || !strings.Contains(w.Body.String(), "is damaged: store it again") {
		t.Errorf("%d %s", w.Code, w.Body)
	}
	if w := ask(s, "DELETE", "/items/2", nil); w.Code != http.StatusNoContent {
		t.Errorf("%d %s", w.Code, w.Body)
	}
	if w := ask(s, "PUT", "/items/4", servertest.Photo(t, 4), "Content-Type", "image/png"); w.Code != http.StatusOK {
		t.Errorf("%d %s", w.Code, w.Body)
	}
	search(5)
	damagedItems(t, s, 0)
}

// A rebuild does not drop damaged items: it fails, and names them.
func TestRebuildKeepsDamaged(t *testing.T) {
	path, weights := filepath.Join(t.TempDir(), "photos.index"), uint64(1)
	s, _ := keeping(t, path, true, &weights)
	if err := s.Load(); err != nil {
		t.Fatal(err)
	}
	fill(t, s, 3)
	if err := s.Close(t.Context()); err != nil {
		t.Fatal(err)
	}
	rot(t, path, 1)
	weights = 2
	s, log := keeping(t, path, true, &weights)
	if err := s.Load(); err != nil {
		t.Fatal(err)
	}
	log.wait(t, damagedLine)
	log.wait(t, cannotBe)
	damagedItems(t, s, 1)
	if w := ask(s, "DELETE", "/items/1", nil); w.Code != http.StatusNoContent {
		t.Errorf("%d %s", w.Code, w.Body)
	}
	if err := s.Load(); err != nil {
		t.Fatal(err)
	}
	log.wait(t, fits)
	damagedItems(t, s, 0)
}
