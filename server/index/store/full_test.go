package store

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"syscall"
	"testing"
)

// A full disk is an error that leaves nothing behind: reading goes on, and so does writing once
// there is room. The child mounts a small disk for that.
func TestFullDisk(t *testing.T) { onSmallDisk(t, "fill") }

// If the log has filled the disk, it is emptied once there is room for its content, and
// everything that was acknowledged is still there.
func TestDiskFullOfLog(t *testing.T) { onSmallDisk(t, "fill-log") }

// onSmallDisk runs a child's work on a folder on which it may mount a small disk.
func onSmallDisk(t *testing.T, work string) {
	t.Helper()
	cmd := child(t, work, t.TempDir())
	cmd.SysProcAttr = &syscall.SysProcAttr{
		Cloneflags:  syscall.CLONE_NEWUSER | syscall.CLONE_NEWNS,
		UidMappings: []syscall.SysProcIDMap{{HostID: os.Getuid(), Size: 1}},
		GidMappings: []syscall.SysProcIDMap{{HostID: os.Getgid(), Size: 1}},
	}
	text, err := cmd.CombinedOutput()
	switch {
	case errors.Is(err, syscall.EPERM), errors.Is(err, syscall.EINVAL), errors.Is(err, syscall.ENOSPC), string(text) == noMount+"\n":
		t.Skipf("no small disk can be mounted here: %v", err)
	case err != nil:
		t.Fatalf("%v: %s", err, text)
	}
	t.Logf("%s", text)
}

// A change that does not fit leaves no log behind that could be emptied.
func TestFullFreesLog(t *testing.T) {
	s := made(t, testAbout)
	all := apply(t, s, puts(rowsOf(0, 50, testDim)...)...)
	row, err := first(s.writer.conn, "PRAGMA page_count")
	if err != nil {
		t.Fatal(err)
	}
	most := func(pages any) {
		if err := run(s.writer.conn, fmt.Sprintf("PRAGMA max_page_count = %v", pages)); err != nil {
			t.Fatal(err)
		}
	}
	most(row[0])
	if logSize(s.path) == 0 {
		t.Fatal("there is no log")
	}
	var no []Change // the change that does not fit
	for err == nil {
		all, no = append(all, no...), puts(rowOf(len(all)+len(no), testDim))
		err = s.Apply(context.Background(), no)
	}
	if size := logSize(s.path); !errors.Is(err, ErrFull) || size != 0 {
		t.Errorf("%v, and a log of %d bytes", err, size)
	}
	most(1 << 20)
	wantRows(t, s, rowsIn(append(all, apply(t, s, no...)...))...)
}

const noMount = "cannot mount"

func fill(args []string) error {
	folder := args[0]
	if err := syscall.Mount("none", folder, "tmpfs", 0, "size=2m"); err != nil {
		return errors.New(noMount)
	}
	ctx := context.Background()
	path := filepath.Join(folder, "x.index")
	s, err := Open(ctx, path, Options{Create: true, About: About{Fingerprint: "f", Dim: killDim}})
	if err != nil {
		return err
	}
	n, err := fillUp(s)
	if err != nil {
		return err
	}
	if err := s.Backup(ctx, path+".copy"); !errors.Is(err, ErrFull) {
		return fmt.Errorf("a backup on a full disk: %w", err)
	}
	if err := s.Compact(ctx); !errors.Is(err, ErrFull) {
		return fmt.Errorf("compacting on a full disk: %w", err)
	}
	if _, err := Open(ctx, path+"2", Options{Create: true, About: testAbout}); !errors.Is(err, ErrFull) {
		return fmt.Errorf("a new index on a full disk: %w", err)
	}
	if err := reread(s, n); err != nil {
		return err
	}
	if err := syscall.Mount("none", folder, "tmpfs", syscall.MS_REMOUNT, "size=8m"); err != nil {
		return err
	}
	if err := s.Apply(ctx, change(n)); err != nil {
		return fmt.Errorf("once there is room: %w", err)
	}
	if err := errors.Join(reread(s, n+1), s.Close()); err != nil {
		return err
	}
	if s, err = Open(ctx, path, Options{}); err != nil {
		return err
	}
	fmt.Printf("full after %d changes\n", n)
	return errors.Join(reread(s, n+1), s.Verify(ctx), s.Close())
}

// fillLog fills the disk with a log, frees a little space, and writes more than the log could
// hold in that.
func fillLog(args []string) error {
	folder := args[0]
	if err := syscall.Mount("none", folder, "tmpfs", 0, "size=4m"); err != nil {
		return errors.New(noMount)
	}
	other := filepath.Join(folder, "other")
	if err := os.WriteFile(other, make([]byte, 1<<20), 0o600); err != nil {
		return err
	}
	ctx := context.Background()
	path := filepath.Join(folder, "x.index")
	s, err := Open(ctx, path, Options{Create: true, About: About{Fingerprint: "f", Dim: killDim}})
	if err != nil {
		return err
	}
	full, err := fillUp(s)
	if err != nil {
		return err
	}
	if size := logSize(path); size < 2<<20 {
		return fmt.Errorf("a log of %d bytes does not fill the disk", size)
	}
	if err := os.Remove(other); err != nil {
		return err
	}
	n := full
	for ; n < 4*full; n++ {
		if err := s.Apply(ctx, change(n)); err != nil {
			return fmt.Errorf("change %d, once there was room after %d: %w", n, full, err)
		}
	}
	if err := errors.Join(reread(s, n), s.Close()); err != nil {
		return err
	}
	if s, err = Open(ctx, path, Options{}); err != nil {
		return err
	}
	fmt.Printf("full after %d changes\n", full)
	return errors.Join(reread(s, n), s.Verify(ctx), s.Close())
}

// fillUp applies changes until the disk is full, and retries the one that fails.
func fillUp(s *Store) (n int, err error) {
	ctx := context.Background()
	for {
		err := s.Apply(ctx, change(n))
		if err == nil {
			n++
			continue
		}
		if again := s.Apply(ctx, change(n)); !errors.Is(err, ErrFull) || !errors.Is(again, ErrFull) {
			return n, fmt.Errorf("change %d on a full disk: %v, and then %v", n, err, again)
		}
		return n, nil
	}
}

// reread checks that a store is in the state after n changes.
func reread(s *Store, n int) error {
	want := after(n)
	err := loadAll(s, context.Background(), func(r *Row) error {
		w, ok := want[r.ID]
		if delete(want, r.ID); !ok || string(w.Hash) != string(r.Hash) || w.Vector[7] != r.Vector[7] {
			return fmt.Errorf("%s is not as it was stored", r.ID)
		}
		return nil
	})
	if err == nil && len(want) > 0 {
		err = fmt.Errorf("%d rows are missing", len(want))
	}
	return err
}
