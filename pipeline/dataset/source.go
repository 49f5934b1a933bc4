package dataset

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"unicode/utf8"

	"vicreg/pipeline/imaging"
)

// kind is how the images of a source are stored.
type kind uint8

const (
	tree   kind = iota + 1 // files in a folder, at any depth
	list                   // files named by a text file
	shards                 // members of tar files
	named                  // image files, named one by one or by a pattern
)

// source is where the images of a set are stored.
type source struct {
	name  string // as given
	kind  kind
	path  string   // absolute: the folder or list; for shards and named files the name as given
	root  string   // absolute: the folder that the keys of files are relative to
	files []string // the shards; the keys of named files
	shard map[string]shard
}

// find resolves name to a source by what exists on disk.
func find(name string) (*source, error) {
	info, err := os.Stat(name)
	if errors.Is(err, fs.ErrNotExist) {
		return patternSource(name)
	}
	if err != nil {
		return nil, err
	}
	path, err := filepath.Abs(name)
	if err == nil {
		path, err = filepath.EvalSymlinks(path)
	}
	switch {
	case err != nil:
		return nil, err
	case info.IsDir():
		return folderSource(name, path)
	case !info.Mode().IsRegular():
		return nil, fmt.Errorf("%s is neither a folder nor a file", name)
	}
	return fileSource(name, path)
}

// folderSource returns a tree, or shards if there are tar files at the top of the folder and no
// image anywhere in it: an archive may lie beside its unpacked files.
func folderSource(name, path string) (*source, error) {
	files, err := tarsIn(path)
	if err != nil {
		return nil, err
	}
	if len(files) > 0 {
		found, err := anyPicture(path, nil)
		if err != nil {
			return nil, err
		}
		if !found {
			return shardSource(name, files, nil)
		}
	}
	return &source{name: name, kind: tree, path: path, root: path}, nil
}

// tarsIn returns the tar files of a folder, or none once it meets an image.
func tarsIn(folder string) (files []string, err error) {
	err = eachEntry(folder, func(name string, e entry) (more bool) {
		switch e {
		case pictureFile:
			files = nil
			return false
		case tarFile:
			files = append(files, filepath.Join(folder, name))
		}
		return true
	})
	if err != nil {
		return nil, err
	}
	return files, nil
}

// packed maps the magic bytes of compressed files to the method.
var packed = map[string]string{"\x1f\x8b": "gzip", "\x28\xb5\x2f\xfd": "zstd", "\xfd7zXZ": "xz", "BZh": "bzip2"}

// sniffed is the number of leading bytes that are examined to identify a file.
const sniffed = 4096

// fileSource recognises an image by its name, otherwise a tar file, list or image by its
// contents.
func fileSource(name, path string) (*source, error) {
	if isPicture(name) {
		return namedSource(name, filepath.Dir(name), []string{name})
	}
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	head := make([]byte, sniffed)
	n, err := io.ReadFull(f, head)
	if err != nil && err != io.EOF && err != io.ErrUnexpectedEOF {
		return nil, err
	}
	head = head[:n]
	if err := notPacked(name, head); err != nil {
		return nil, err
	}
	if isTar := len(head) >= 512 && string(head[257:262]) == "ustar"; isTar || strings.EqualFold(filepath.Ext(name), ".tar") {
		return shardSource(name, []string{path}, nil)
	}
	if isText(head) {
		return &source{name: name, kind: list, path: path, root: filepath.Dir(path)}, nil
	}
	if info, err := f.Stat(); err == nil {
		if _, err := imaging.Probe(f, info.Size()); err == nil {
			return namedSource(name, filepath.Dir(name), []string{name})
		}
	}
	return nil, fmt.Errorf("%s is not a folder, a tar file, a text file with one path per line, or an image", name)
}

// isText reports whether head is UTF-8 without NUL, allowing for a character cut off at the end.
func isText(head []byte) bool {
	for cut := range min(utf8.UTFMax, len(head)+1) {
		if utf8.Valid(head[:len(head)-cut]) {
			return bytes.IndexByte(head, 0) < 0
		}
	}
	return false
}

// notPacked rejects a compressed file by its first bytes.
func notPacked(name string, head []byte) error {
	for magic, method := range packed {
		if bytes.HasPrefix(head, []byte(magic)) {
			return fmt.Errorf("%s is compressed with %s: decompress it first, so that single images can be read from it", name, method)
		}
	}
	return nil
}

// isPicture reports whether a name has an image's extension.
func isPicture(name string) bool {
	switch strings.ToLower(filepath.Ext(name)) {
	case ".jpg", ".jpeg", ".png", ".webp", ".gif", ".tif", ".tiff":
		return true
	}
	return false
}
