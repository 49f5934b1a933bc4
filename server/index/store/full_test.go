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

// A full disk is an error that leaves nothing behind: reading goes on, and writing
// once there is room. The child has a small disk of its own for that.
func TestFullDisk(t *testing.T) {
	cmd := child(t, "fill", t.TempDir())
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

// fillUp applies changes until the disk is full, and tries the one that fails again.
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

// reread wants what n changes make.
func reread(s *Store, n int) error {
	want := after(n)
	err := s.Load(context.Background(), func(r *Row) error {
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
