package store

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"runtime"
	"syscall"
	"testing"
)

// asNobody runs do without root's privileges, if the test has them: its thread drops those for
// files only.
func asNobody(t *testing.T, do func()) {
	t.Helper()
	if os.Getuid() != 0 {
		do()
		return
	}
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	const nobody = 65534
	setfsuid := func(id uintptr) { syscall.RawSyscall(syscall.SYS_SETFSUID, id, 0, 0) }
	setfsuid(nobody)
	defer setfsuid(0)
	do()
}

func TestOpenWithoutPermission(t *testing.T) {
	s := made(t, testAbout)
	changes := apply(t, s, puts(rowsOf(0, 3, testDim)...)...)
	s.Close()
	folder := filepath.Dir(s.path)
	chmod := func(file, dir fs.FileMode) {
		t.Helper()
		if err := errors.Join(os.Chmod(s.path, file), os.Chmod(folder, dir)); err != nil {
			t.Fatal(err)
		}
	}
	t.Cleanup(func() { chmod(0o644, 0o755) })
	if err := os.Chmod(filepath.Dir(folder), 0o755); err != nil { // initially only its owner may pass
		t.Fatal(err)
	}
	read := func() {
		r := opened(t, s.path, Options{ReadOnly: true})
		wantRows(t, r, rowsIn(changes)...)
		r.Close()
	}
	for name, mode := range map[string][2]fs.FileMode{"nothing": {0, 0o777}, "reading": {0o444, 0o777}, "a folder that is closed": {0o644, 0}} {
		chmod(mode[0], mode[1])
		asNobody(t, func() { wantError(t, s.path, Options{}, fs.ErrPermission, "permission denied") })
		os.Remove(s.path + lockSuffix)
		if name == "reading" {
			asNobody(t, read)
		}
	}
	// In a read-only folder, an index can be read if it was closed.
	for _, suffix := range []string{"-wal", "-shm"} {
		os.Remove(s.path + suffix)
	}
	chmod(0o444, 0o555)
	asNobody(t, func() {
		read()
		wantError(t, s.path, Options{}, fs.ErrPermission)
	})
	// But the log that a crash has left cannot.
	chmod(0o644, 0o777)
	crash(t, 0).lay(t, s.path)
	chmod(0o444, 0o555)
	asNobody(t, func() { wantError(t, s.path, Options{ReadOnly: true}, fs.ErrPermission, "log that a crash has left") })
}
