package server

import (
	"fmt"
	"net/http"
	"strings"
	"testing"

	"vicreg/server/index"
)

// A full disk shows in the metrics while it lasts, and is no reason to route searches elsewhere.
func TestWritesFailing(t *testing.T) {
	s, m := indexed(t, nil)
	want := func(failing, errors int) {
		t.Helper()
		text := ask(s, "GET", "/metrics", nil).Body.String()
		for _, line := range []string{fmt.Sprintf("\nvicreg_index_writes_failing %d\n", failing), fmt.Sprintf("\nvicreg_index_write_errors_total %d\n", errors)} {
			if !strings.Contains(text, line) {
				t.Errorf("the metrics lack %q", line)
			}
		}
	}
	answers := func(method, path, body string, status int) {
		t.Helper()
		if w := ask(s, method, path, []byte(body), "Content-Type", "application/json"); w.Code != status {
			t.Errorf("%s %s: %d %s, want %d", method, path, w.Code, w.Body, status)
		}
	}
	item := fmt.Sprintf(`{"vector":[1%s]}`, strings.Repeat(",1", s.current().Dim()-1))
	answers("PUT", "/items/a", item, http.StatusCreated)
	want(0, 0)
	m.full = fmt.Errorf("write: %w", index.ErrFull)
	answers("PUT", "/items/b", item, http.StatusInsufficientStorage)
	answers("DELETE", "/items/a", "", http.StatusInsufficientStorage)
	want(1, 2)
	answers("PUT", "/items/b", `{"vector":[]}`, http.StatusBadRequest) // an invalid item says nothing about the disk
	answers("GET", "/readyz", "", http.StatusOK)
	answers("POST", "/similar", `{"id":"a"}`, http.StatusOK)
	want(1, 2)
	m.full = nil
	answers("DELETE", "/items/a", "", http.StatusNoContent)
	want(0, 2)
}
