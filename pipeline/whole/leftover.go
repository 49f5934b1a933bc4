package whole

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
)

// tmpSuffix ends the names of temporary files and folders, and of nothing else: sweep may delete
// them.
const tmpSuffix = ".vicreg.tmp"

// pattern is the name of temporary files and folders for path, with * for a number.
func pattern(path string) string { return filepath.Base(path) + ".*" + tmpSuffix }

// isTemporary reports whether pattern of a path with this base may have become name.
func isTemporary(name, base string) bool {
	begins := strings.HasPrefix(name, base+".")
	number, ends := strings.CutSuffix(strings.TrimPrefix(name, base+"."), tmpSuffix)
	_, err := strconv.ParseUint(number, 10, 64)
	return begins && ends && err == nil
}

// temporary creates a file or folder with create and opens it with the given flag as lock. Until
// lock is closed, no sweep removes it.
func temporary(create func() (name string, err error), flag int) (lock *os.File, err error) {
	for lock == nil && err == nil {
		var name string
		if name, err = create(); err != nil {
			return nil, err
		}
		if lock, err = hold(name, flag); err != nil {
			err = errors.Join(err, os.Remove(name))
		}
	}
	return lock, err
}

// hold locks a new temporary file or folder. It returns nil if the sweep of another process has
// removed it before it was locked.
func hold(name string, flag int) (lock *os.File, err error) {
	f, err := os.OpenFile(name, flag, 0)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	// Only a sweep that is about to remove it can hold it now. Other errors mean that the file
	// system has no locks; sweep removes nothing there.
	for errors.Is(syscall.Flock(int(f.Fd()), syscall.LOCK_EX), syscall.EINTR) {
	}
	if !isAt(f, name) {
		f.Close()
		return nil, nil
	}
	return f, nil
}

// isAt reports whether path is the name of an open file.
func isAt(f *os.File, path string) bool {
	open, err := f.Stat()
	if err != nil {
		return false
	}
	there, err := os.Lstat(path)
	return err == nil && os.SameFile(open, there)
}

// sweep removes the temporary files and folders that killed writers of path have left beside it.
// The kernel has released their locks, whereas those of living writers are held. A failure only
// means that something is left.
func sweep(path string) {
	folder, err := os.Open(filepath.Dir(path))
	if err != nil {
		return
	}
	defer folder.Close()
	names, _ := folder.Readdirnames(-1) // unsorted and without a stat each: there may be many
	for _, name := range names {
		if base := filepath.Base(path); isTemporary(name, base) {
			remove(filepath.Join(filepath.Dir(path), name), base)
		}
	}
}

// remove removes a temporary file or folder for files whose names begin with base, unless a process
// holds it.
func remove(tmp, base string) {
	flag := os.O_RDWR // some network file systems lock only what is open for writing
	switch info, err := os.Lstat(tmp); {
	case err != nil || !info.IsDir() && !info.Mode().IsRegular():
		return
	case info.IsDir():
		flag = os.O_RDONLY
	}
	f, err := os.OpenFile(tmp, flag|syscall.O_NOFOLLOW|syscall.O_NONBLOCK, 0)
	if err != nil {
		return
	}
	defer f.Close()
	if syscall.Flock(int(f.Fd()), syscall.LOCK_EX|syscall.LOCK_NB) != nil || !isAt(f, tmp) {
		return
	}
	if flag == os.O_RDONLY && !empty(f, tmp, base) {
		return
	}
	os.Remove(tmp)
}

// empty removes the files in a temporary folder if all are incomplete or new ones of the name base.
// It keeps a folder with anything else, above all one with old files that were not put back.
func empty(f *os.File, folder, base string) bool {
	entries, err := f.ReadDir(-1)
	if err != nil {
		return false
	}
	for _, e := range entries {
		if !e.Type().IsRegular() || !strings.HasPrefix(e.Name(), base) || strings.HasSuffix(e.Name(), old) {
			return false
		}
	}
	for _, e := range entries {
		os.Remove(filepath.Join(folder, e.Name()))
	}
	return true
}
