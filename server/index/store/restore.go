package store

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"syscall"
)

// restoreDraft is where Restore writes, and restored the name that it gives to what is complete.
// From then on the restore counts: whoever next owns the index puts that file in place.
func restoreDraft(path string) string { return hidden(path, ".restoring") }
func restored(path string) string     { return hidden(path, ".restored") }

// Restore puts what the index file from holds, with its log, in place of the index at path, which
// may be damaged or missing, and returns the number of rows. The log beside path goes with the old
// file: SQLite would take it for the new one's. Every checksum is verified first. On error path is
// as it was, unless the error wraps ErrUnfinished.
//
// A crash at any moment leaves either index: the old one with its log, or the new one, which is
// put in place when the index is next opened by an owner, or restored.
//
// While another process has the index open, or reads it, the error is ErrInUse: on closing, it
// could remove the log of the new file.
func Restore(ctx context.Context, from, path string) (rows int, err error) {
	if path, err = resolve(path); err != nil {
		return 0, err
	}
	if sameFile(from, path) {
		return 0, fmt.Errorf("restore index %s: %s is the same file", path, from)
	}
	if _, err := os.Stat(from); err != nil { // before anything is created
		return 0, fmt.Errorf("restore from %s: %w", from, err)
	}
	owner, err := lock(path)
	if err != nil {
		return 0, err
	}
	defer owner.Close()
	release, err := exclude(path)
	if err != nil {
		return 0, explain("restore index", path, err)
	}
	defer release()
	draft := restoreDraft(path)
	defer drop(draft, draft+journalSuffix)
	if rows, err = redraw(ctx, from, draft, path); err != nil {
		return 0, err
	}
	if err := move(draft, restored(path)); err != nil {
		if unfinished(path) { // only the sync has failed: the next owner puts it in place
			err = fmt.Errorf("%w: %w", ErrUnfinished, err)
		}
		return 0, explain("restore index", path, err)
	}
	return rows, explain("restore index", path, finishRestore(path))
}

// redraw writes what an index holds to the draft of a file in place of path, and verifies that.
func redraw(ctx context.Context, from, draft, path string) (rows int, err error) {
	source, err := Open(ctx, from, Options{ReadOnly: true})
	if err != nil {
		return 0, err
	}
	err = source.copy(ctx, draft)
	if err == nil {
		err = inherit(draft, path)
	}
	if err == nil {
		rows, err = examineDraft(ctx, draft)
	}
	return rows, explain("restore from", from, errors.Join(err, source.Close()))
}

// inherit gives a draft the permissions of the file that it will replace, and its owner where
// that is allowed: whoever restores as root would otherwise lock the server out.
func inherit(draft, path string) error {
	info, err := os.Stat(path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	if s, ok := info.Sys().(*syscall.Stat_t); ok {
		os.Chown(draft, int(s.Uid), int(s.Gid)) // best effort: only root may
	}
	return os.Chmod(draft, info.Mode().Perm())
}

// examineDraft reads all of a complete file that nobody else has open, and counts its rows.
func examineDraft(ctx context.Context, path string) (rows int, err error) {
	reads, err := newReaders(resting, path)
	if err != nil {
		return 0, err
	}
	s := &session{reads: reads}
	defer func() { err = errors.Join(err, s.disconnect()) }()
	return rows, reads.use(ctx, func(c *conn) error {
		if s.about, err = readAbout(ctx, c); err != nil {
			return err
		}
		r := &Report{}
		if err := s.survey(ctx, c, r, func(*Row) error { return nil }); err != nil {
			return err
		}
		rows = r.Rows
		return r.Err()
	})
}

// exclude keeps all others from the file at path until release is called, those who read it, too.
// It rejects a file that is no index, which was hardly meant to be overwritten. A missing file is
// no error.
func exclude(path string) (release func() error, err error) {
	f, err := os.OpenFile(path, os.O_RDWR, 0)
	if errors.Is(err, fs.ErrNotExist) {
		return func() error { return nil }, nil
	}
	if errors.Is(err, syscall.EISDIR) {
		return nil, fmt.Errorf("%w: it is a folder", ErrForeign)
	}
	if err != nil {
		return nil, err
	}
	if err = ours(f); err == nil {
		err = lockItself(f)
	}
	if err == nil {
		err = lockReaders(f)
	}
	if err != nil {
		return nil, errors.Join(err, f.Close())
	}
	return f.Close, nil
}

// ours rejects a file that was never an index: one that is neither empty nor has the mark of one.
func ours(f *os.File) error {
	info, err := f.Stat()
	if err != nil {
		return err
	}
	if !info.Mode().IsRegular() {
		return fmt.Errorf("%w: it is no regular file", ErrForeign)
	}
	mark := []byte{applicationID >> 24, applicationID >> 16 & 0xff, applicationID >> 8 & 0xff, applicationID & 0xff}
	const offset = 68 // of the application id in SQLite's header
	head := make([]byte, offset+len(mark))
	if n, err := f.ReadAt(head, 0); n == 0 && err == io.EOF {
		return nil
	} else if err != nil && err != io.EOF {
		return err
	}
	if string(head[offset:]) != string(mark) {
		return fmt.Errorf("%w: to restore an index there, move it away first", ErrForeign)
	}
	return nil
}

// lockReaders locks what readers lock through SQLite for as long as they have the file open. Like
// SQLite's, it is a lock of the process: it ends when any descriptor of the file is closed.
func lockReaders(f *os.File) error {
	const pending, length = 0x40000000, 512 // offset and length of the bytes that SQLite locks
	err := syscall.FcntlFlock(f.Fd(), syscall.F_SETLK, &syscall.Flock_t{Type: syscall.F_WRLCK, Whence: io.SeekStart, Start: pending, Len: length})
	if errors.Is(err, syscall.EAGAIN) || errors.Is(err, syscall.EACCES) {
		return fmt.Errorf("%w: it is reading", ErrInUse)
	}
	return err
}

// unfinished reports whether a complete restore waits to be put in place.
func unfinished(path string) bool {
	_, err := os.Lstat(restored(path))
	return err == nil
}

// finishRestore puts a complete restore in place; the lock of path is held. The log goes first,
// durably, as the rename ends what keeps others from reading the old file without it.
func finishRestore(path string) error {
	if !unfinished(path) {
		return nil
	}
	err := dropBeside(path)
	if err == nil {
		err = syncFolder(path)
	}
	if err == nil {
		err = move(restored(path), path)
	}
	if err != nil {
		return fmt.Errorf("%w: %w", ErrUnfinished, err)
	}
	return nil
}
