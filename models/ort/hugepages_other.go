//go:build !linux

package ort

// UseHugePages does nothing: only glibc has the setting.
func UseHugePages() {}
