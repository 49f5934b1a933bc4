package dataset

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
)

// patternSource resolves a name that no file has: a pattern of image files or tar files with braces
// or the wildcards *, ? and [].
func patternSource(name string) (*source, error) {
	names, err := expand(name)
	if err != nil {
		return nil, err
	}
	wild := strings.ContainsAny(name, wildcards)
	if names == nil && !wild {
		return nil, fmt.Errorf("%s does not exist", name)
	}
	if wild {
		if names, err = match(name, names); err != nil {
			return nil, err
		}
	}
	pictures := 0
	for _, n := range names {
		if isPicture(n) {
			pictures++
		}
	}
	switch pictures {
	case 0:
		return shardSource(name, names, nil)
	case len(names):
		return namedSource(name, PatternFolder(name), names)
	}
	return nil, fmt.Errorf("pattern %s matches images and other files: give one that matches only images", name)
}

const wildcards = "*?["

// PatternFolder returns the folder of a pattern before its first wildcard or brace, to which the
// keys of its files are relative, however many wildcards and braces there are.
func PatternFolder(pattern string) string {
	if at := strings.IndexAny(pattern, wildcards+"{"); at >= 0 {
		pattern = pattern[:at] + "x" // a placeholder name in the same folder
	}
	return filepath.Dir(pattern)
}

// match returns the files that a pattern with wildcards matches, sorted; names are its brace
// expansions, nil if it has no braces. Hidden files match only if the pattern names a dot
// explicitly. A matched folder, or a file that is neither an image nor a tar file, is an error.
func match(pattern string, names []string) ([]string, error) {
	if strings.Contains(pattern, "**") {
		return nil, fmt.Errorf("pattern %s: ** is not supported; folders are searched recursively, so give the folder's name", pattern)
	}
	if names == nil {
		names = []string{pattern}
	}
	folder := PatternFolder(pattern)
	var found []string
	for _, n := range names {
		files, err := filepath.Glob(n)
		if err != nil {
			return nil, fmt.Errorf("pattern %s: %w", pattern, err)
		}
		asked := strings.HasPrefix(n, ".") || strings.Contains(n, "/.")
		for _, f := range files {
			if below, err := filepath.Rel(folder, f); err == nil && hidden(below) && !asked {
				continue
			}
			if err := fits(f); err != nil {
				return nil, fmt.Errorf("pattern %s: %w", pattern, err)
			}
			found = append(found, f)
		}
	}
	if len(found) == 0 {
		return nil, fmt.Errorf("no file matches %s", pattern)
	}
	slices.Sort(found)
	return slices.Compact(found), nil
}

// fits rejects files that a pattern must not match. A dangling link counts as a bad image.
func fits(name string) error {
	info, err := os.Stat(name)
	switch isImage := isPicture(name); {
	case errors.Is(err, fs.ErrNotExist) && isImage:
		return nil
	case err != nil:
		return err
	case info.IsDir():
		return fmt.Errorf("it also matches the folder %s: name folders without wildcards, and images with their extension, as in '*.jpg'", name)
	case !info.Mode().IsRegular() || !isImage && !strings.EqualFold(filepath.Ext(name), ".tar"):
		return fmt.Errorf("it also matches %s, which is neither an image nor a tar file: use a narrower pattern, such as '*.jpg'", name)
	}
	return nil
}

// namedSource is a source of individually named image files, whose keys are relative to a folder.
func namedSource(name, folder string, files []string) (*source, error) {
	path, err := filepath.Abs(name)
	if err != nil {
		return nil, err
	}
	s := &source{name: name, kind: named, path: path}
	if s.root, err = filepath.Abs(folder); err == nil {
		s.root, err = filepath.EvalSymlinks(s.root)
	}
	if err != nil {
		return nil, err
	}
	for _, f := range files {
		key, err := filepath.Rel(folder, f)
		if err != nil {
			return nil, err
		}
		s.files = append(s.files, filepath.ToSlash(key))
	}
	return s, nil
}

// refreshNamed is the counterpart of refreshTree for named image files, which have no saved index.
func refreshNamed(x *indexing) (now *listing, changed bool, err error) {
	var b builder
	for _, key := range x.source.files {
		b.name(key)
	}
	t, err := b.finish()
	if err == nil {
		t, err = t.sorted(func(int, int) error { return nil })
	}
	if err == nil {
		err = x.visit(t, &table{})
	}
	if err != nil {
		return nil, false, err
	}
	return &listing{table: t}, false, nil
}
