package server

import (
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"vicreg/server/servertest"
)

// The commands in the document work as described.
func TestDocumentedCommands(t *testing.T) {
	for _, tool := range []string{"bash", "curl", "base64"} {
		if _, err := exec.LookPath(tool); err != nil {
			t.Skipf("%s is not installed", tool)
		}
	}
	s, _ := centered(t)
	s.Items.SetIndex(memoryFor(s))
	for n, id := range []string{"cat.jpg", "dog.png"} {
		if w := ask(s, "PUT", "/items/photos%2F"+id, servertest.Photo(t, n), "Content-Type", "image/png"); w.Code != 201 {
			t.Fatal(w.Body)
		}
	}
	h := httptest.NewServer(s.Handler())
	defer h.Close()
	dir := t.TempDir()
	for name, content := range map[string][]byte{"cat.jpg": servertest.Photo(t, 0), "dog.png": servertest.Photo(t, 1), ".curlrc": []byte("fail-with-body\nsilent\nshow-error\n")} {
		if err := os.WriteFile(filepath.Join(dir, name), content, 0o666); err != nil {
			t.Fatal(err)
		}
	}
	here := strings.NewReplacer("http://localhost:8080", h.URL, "224, 224", "16, 16", "150528", "768") // the test model is small
	found := 0
	for route, op := range contractOf(t).operations() {
		for _, block := range regexp.MustCompile("(?s)```sh\n(.*?)```").FindAllStringSubmatch(op.Description, -1) {
			found += strings.Count(block[1], "curl ")
			c := exec.CommandContext(t.Context(), "bash", "-euo", "pipefail", "-c", here.Replace(block[1]))
			c.Dir, c.Env = dir, append(os.Environ(), "CURL_HOME="+dir, "NO_PROXY=*")
			if out, err := c.CombinedOutput(); err != nil {
				t.Errorf("%s: %v: %s", route, err, out)
			}
		}
	}
	if found < 18 {
		t.Errorf("only %d commands are in the document", found)
	}
	rows, err := os.ReadFile(filepath.Join(dir, "pets.npy"))
	if err != nil || !strings.Contains(string(rows), "'shape': (2, ") {
		t.Errorf("the file of vectors: %v, %.128q", err, rows)
	}
}
