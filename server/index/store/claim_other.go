//go:build !linux

package store

import "os"

// lockItself does nothing where this kind of lock excludes SQLite's own.
func lockItself(*os.File) error { return nil }
