package store

import (
	"context"
	"fmt"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

// The settings that SQLite must report on each connection, stated independently.
var wanted = map[string]string{
	"page_size": "16384", "journal_mode": "wal", "synchronous": "2", "wal_autocheckpoint": "0", "busy_timeout": "2000",
	"journal_size_limit": "67108864", "cell_size_check": "1", "trusted_schema": "0", "fullfsync": "1", "locking_mode": "normal",
	"application_id": "1986618226", "user_version": "1", "query_only": "0", "mmap_size": "0", "encoding": "UTF-8", "auto_vacuum": "0",
}

func wantSettings(t *testing.T, name string, c *conn, but map[string]string) {
	t.Helper()
	want := maps.Clone(wanted)
	maps.Copy(want, but)
	for pragma, want := range want {
		row, err := first(c, "PRAGMA "+pragma)
		if err != nil {
			t.Fatal(err)
		}
		got := "0" // mmap_size returns no row if it is unsupported
		if len(row) == 1 {
			got = fmt.Sprint(row[0])
		}
		if got != want {
			t.Errorf("%s: %s is %s, want %s", name, pragma, got, want)
		}
	}
}

// wantReaders checks all connections that readers may have.
func wantReaders(t *testing.T, name string, s *Store, n int, but map[string]string) {
	t.Helper()
	if n == 0 {
		return
	}
	err := s.reads.use(context.Background(), func(c *conn) error {
		wantSettings(t, fmt.Sprintf("%s %d", name, n), c, but)
		wantReaders(t, name, s, n-1, but)
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
}

func TestSettingsOfEveryConnection(t *testing.T) {
	s := made(t, testAbout)
	apply(t, s, puts(rowsOf(0, 3, testDim)...)...)
	check := func(when string) {
		wantSettings(t, "writer "+when, s.writer.conn, nil)
		wantReaders(t, "reader "+when, s, maxReaders, map[string]string{"query_only": "1"})
	}
	check("at first")
	visitor := opened(t, s.path, Options{ReadOnly: true})
	wantReaders(t, "visitor", visitor, maxReaders, map[string]string{"query_only": "1", "journal_size_limit": "-1", "wal_autocheckpoint": "1000"})
	if err := s.Compact(context.Background()); err != nil {
		t.Fatal(err)
	}
	check("after Compact")
	copied := filepath.Join(t.TempDir(), "copy")
	if err := s.Backup(context.Background(), copied); err != nil {
		t.Fatal(err)
	}
	s.Close()
	s = opened(t, copied, Options{})
	check("of a backup")
}

// A setting that SQLite ignores is an error.
func TestSettingThatDoesNotHold(t *testing.T) {
	s := made(t, testAbout)
	how := reading
	how.settings = join(reading.settings, []setting{{"page_size", "4096"}})
	c, err := how.connect(s.path)
	if err == nil || err.Error() != "page_size is [16384], not 4096" {
		t.Errorf("connection %v, error %v", c, err)
	}
}

// The log is synced between the start of Apply and its return: the child writes a mark to its
// standard output before and after.
func TestApplySyncsTheLog(t *testing.T) {
	strace, err := exec.LookPath("strace")
	if err != nil {
		t.Skip("strace is not installed")
	}
	s := made(t, testAbout)
	s.Close()
	out := filepath.Join(t.TempDir(), "trace")
	cmd := child(t, "apply-once", s.path)
	cmd.Args = append([]string{strace, "-f", "-y", "-o", out, "-e", "trace=write,pwrite64,fsync,fdatasync", cmd.Path}, cmd.Args[1:]...)
	cmd.Path = strace
	if text, err := cmd.CombinedOutput(); err != nil {
		if strings.Contains(string(text), "ptrace") {
			t.Skipf("strace may not trace: %s", text)
		}
		t.Fatalf("%v: %s", err, text)
	}
	trace, err := os.ReadFile(out)
	if err != nil {
		t.Fatal(err)
	}
	_, rest, begun := strings.Cut(string(trace), `"`+markBegin)
	within, _, ended := strings.Cut(rest, `"`+markEnd)
	if !begun || !ended {
		t.Fatalf("the marks are not in the trace:\n%s", trace)
	}
	wrote := regexp.MustCompile(`pwrite64\(\d+<[^>]*-wal>`).FindAllStringIndex(within, -1)
	synced := regexp.MustCompile(`f(data)?sync\(\d+<[^>]*-wal>\)\s*= 0|<\.\.\. f(data)?sync resumed>\)\s*= 0`).FindAllStringIndex(within, -1)
	if len(wrote) == 0 || len(synced) == 0 || synced[len(synced)-1][0] < wrote[len(wrote)-1][0] {
		t.Errorf("Apply returned before its log was synced:\n%s", within)
	}
}
