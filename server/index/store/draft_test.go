package store

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
)

// copyOnce compacts an index, or backs it up to a second path.
func copyOnce(args []string) error {
	runtime.LockOSThread() // strace counts calls per thread
	s, err := Open(context.Background(), args[0], Options{})
	if err != nil {
		return err
	}
	if len(args) == 1 {
		return errors.Join(s.Compact(context.Background()), s.Close())
	}
	return errors.Join(s.Backup(context.Background(), args[1]), s.Close())
}

// killedAtSync runs copyOnce, kills it at its n-th sync, and reports whether it got that far.
func killedAtSync(t *testing.T, n int, args ...string) bool {
	t.Helper()
	strace, err := exec.LookPath("strace")
	if err != nil {
		t.Skip("strace is not installed")
	}
	cmd := child(t, "copy-once", args...)
	const call = "/^f(data)?sync$"
	cmd.Args = append([]string{strace, "-f", "-o", os.DevNull, "-e", "trace=" + call, "-e", fmt.Sprintf("inject=%s:signal=KILL:when=%d", call, n), cmd.Path}, cmd.Args[1:]...)
	cmd.Path = strace
	text, err := cmd.CombinedOutput()
	if len(text) > 0 {
		t.Skipf("strace cannot kill a process at a call: %v %s", err, text)
	}
	return err != nil
}

// The next owner removes what Compact has half written when it is killed.
func TestKillWhileCompacting(t *testing.T) {
	was := crash(t, 0)
	left := 0
	for n := 1; ; n++ {
		folder := t.TempDir()
		path := filepath.Join(folder, "x.index")
		was.lay(t, path)
		killed := killedAtSync(t, n, path)
		if _, err := os.Stat(compactDraft(path)); err == nil {
			left++
		}
		s := opened(t, path, Options{})
		wantRows(t, s, was.rows...)
		s.Close()
		wantFiles(t, folder, "x.index", "x.index.lock")
		if !killed {
			break
		}
	}
	if left == 0 {
		t.Error("nothing was ever left half written")
	}
}

// The next backup to the same path removes what Backup has half written when it is killed.
func TestKillWhileBackingUp(t *testing.T) {
	was := crash(t, 0)
	left := 0
	for n := 1; ; n++ {
		folder := t.TempDir()
		path := filepath.Join(t.TempDir(), "x.index")
		copied := filepath.Join(folder, "copy")
		was.lay(t, path)
		killed := killedAtSync(t, n, path, copied)
		if _, err := os.Stat(copied); err != nil {
			if _, err := os.Stat(backupDraft(copied)); err == nil {
				left++
			}
			s := opened(t, path, Options{})
			if err := s.Backup(context.Background(), copied); err != nil {
				t.Error(err)
			}
			wantFiles(t, folder, "copy")
			s.Close()
		}
		wantRows(t, opened(t, copied, Options{}), was.rows...)
		if !killed {
			break
		}
	}
	if left == 0 {
		t.Error("nothing was ever left half written")
	}
}

// A backup in progress, also by a reader into the folder of the index, is left alone by its owner
// and by other backups to the same path.
func TestBackupUnderWay(t *testing.T) {
	s := made(t, testAbout)
	apply(t, s, puts(rowsOf(0, 3, testDim)...)...)
	copied := s.path + ".copy"
	lock, err := lockFile(backupDraft(copied) + lockSuffix)
	if err != nil {
		t.Fatal(err)
	}
	defer lock.Close()
	if err := os.WriteFile(backupDraft(copied), []byte("half"), 0o666); err != nil {
		t.Fatal(err)
	}
	if err := s.Backup(context.Background(), copied); err == nil || !strings.Contains(err.Error(), "another backup to this file is in progress") {
		t.Errorf("two backups to one path: %v", err)
	}
	if err := errors.Join(s.Compact(context.Background()), s.Close()); err != nil {
		t.Error(err)
	}
	s = opened(t, s.path, Options{})
	if half, err := os.ReadFile(backupDraft(copied)); string(half) != "half" {
		t.Errorf("the draft of another has %q, %v", half, err)
	}
	lock.Close() // as a kill does
	if err := errors.Join(s.Backup(context.Background(), copied), s.Close()); err != nil {
		t.Error(err)
	}
	wantFiles(t, filepath.Dir(s.path), "x.index", "x.index.lock", "x.index.copy")
}

// Remove removes drafts, too.
func TestRemoveOfDrafts(t *testing.T) {
	path := filepath.Join(t.TempDir(), "x.index")
	for _, draft := range []string{newDraft(path), compactDraft(path)} {
		if err := errors.Join(os.WriteFile(draft, nil, 0o666), os.WriteFile(draft+"-journal", nil, 0o666)); err != nil {
			t.Fatal(err)
		}
	}
	if err := Remove(path); err != nil {
		t.Error(err)
	}
	wantFiles(t, filepath.Dir(path))
}
