//go:build !linux

package store

import "os"

// lockItself does nothing on systems where this kind of lock conflicts with SQLite's own.
func lockItself(*os.File) error { return nil }
