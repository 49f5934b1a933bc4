// Package dataset finds pictures in folders and turns them into batches: index,
// shuffle, decode with a cache, replace what cannot be read, and assemble two
// augmented views of each picture in the tensors a training step is fed.
//
// Everything random follows from a seed, and nothing depends on the number of
// workers or on timing: the same arguments give the same batches, from any
// position of a run.
package dataset

import (
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"math/bits"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
)

// Item is one picture of a Set.
type Item struct {
	Key   string // path below the root, with slashes: what draws and splits hash
	Label string // the first folder of the key, "" for a picture at the root
}

// Set is an indexed folder, or a part of one. It is not changed after it was
// made, so that any number of goroutines may read it.
type Set struct {
	Root  string
	Items []Item // in ascending order of Key
}

// maxFile bounds what is read of one file, in bytes.
const maxFile = 512 << 20

// Index walks the folder tree at dir and lists its JPEG and PNG files (by name,
// upper or lower case) in the order of their keys. Hidden files and folders are
// passed over. Links to files are followed, links to folders are not. No
// picture is opened. A missing folder and one without a picture are errors.
func Index(dir string) (*Set, error) {
	info, err := os.Stat(dir)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("index images: folder %s does not exist", dir)
	}
	if err != nil {
		return nil, fmt.Errorf("index images: %w", err)
	}
	if !info.IsDir() {
		return nil, fmt.Errorf("index images: %s is not a folder", dir)
	}
	root, err := filepath.EvalSymlinks(dir)
	if err != nil {
		return nil, fmt.Errorf("index images: %w", err)
	}
	s := &Set{Root: root}
	err = filepath.WalkDir(root, func(path string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if path != root && strings.HasPrefix(d.Name(), ".") {
			if d.IsDir() {
				return fs.SkipDir
			}
			return nil
		}
		if !d.IsDir() && isPicture(d.Name()) && isFile(path, d) {
			s.add(path)
		}
		return nil
	})
	if err != nil {
		return nil, fmt.Errorf("index images in %s: %w", dir, err)
	}
	if len(s.Items) == 0 {
		return nil, fmt.Errorf("index images: no .jpg, .jpeg or .png file in %s", dir)
	}
	slices.SortFunc(s.Items, func(a, b Item) int { return strings.Compare(a.Key, b.Key) })
	return s, nil
}

func isPicture(name string) bool {
	switch strings.ToLower(filepath.Ext(name)) {
	case ".jpg", ".jpeg", ".png":
		return true
	}
	return false
}

// isFile is false for pipes, devices and links to folders. A link to nothing
// counts: it is quarantined when it is read, where people see it.
func isFile(path string, d fs.DirEntry) bool {
	if d.Type()&fs.ModeSymlink == 0 {
		return d.Type().IsRegular()
	}
	info, err := os.Stat(path)
	return err != nil || info.Mode().IsRegular()
}

func (s *Set) add(path string) {
	key := filepath.ToSlash(strings.TrimPrefix(path[len(s.Root):], string(filepath.Separator)))
	label, _, nested := strings.Cut(key, "/")
	if !nested {
		label = ""
	}
	s.Items = append(s.Items, Item{Key: key, Label: label})
}

// Len is the number of pictures.
func (s *Set) Len() int { return len(s.Items) }

// ReadFile returns the bytes of file i.
func (s *Set) ReadFile(i int) ([]byte, error) {
	f, err := os.Open(filepath.Join(s.Root, filepath.FromSlash(s.Items[i].Key)))
	if err != nil {
		return nil, err
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		return nil, err
	}
	if info.Size() > maxFile {
		return nil, fmt.Errorf("file of %d bytes is over the limit of %d", info.Size(), maxFile)
	}
	data := make([]byte, info.Size())
	n, err := io.ReadFull(f, data)
	if errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) {
		err = nil // it shrank since; the decoder has its say
	}
	return data[:n], err
}

// Split sets aside about the given share of the pictures. Which ones follows from
// a hash of each key, so that a picture stays on its side when others are added
// or removed. Either part may be empty.
func (s *Set) Split(holdout float64) (train, held *Set) {
	train, held = &Set{Root: s.Root}, &Set{Root: s.Root}
	for _, it := range s.Items {
		part := train
		if float64(hash(it.Key)>>11)/(1<<53) < holdout {
			part = held
		}
		part.Items = append(part.Items, it)
	}
	return train, held
}

// Shuffle is the order in which an epoch visits the pictures: a permutation that
// depends on seed, epoch and the number of pictures only.
func (s *Set) Shuffle(seed uint64, epoch int) []int {
	source := rand.NewPCG(mix(seed), mix(uint64(epoch)))
	order := make([]int, s.Len())
	for i := range order {
		j, _ := bits.Mul64(source.Uint64(), uint64(i+1)) // 0 <= j <= i
		order[i] = order[j]
		order[j] = i
	}
	return order
}

// Fingerprint tells two sets apart by their keys: a resumed run wants the set it
// began with.
func (s *Set) Fingerprint() string {
	h := sha256.New()
	for _, it := range s.Items {
		io.WriteString(h, it.Key)
		h.Write([]byte{0})
	}
	return hex.EncodeToString(h.Sum(nil)[:16])
}

// hash is FNV-1a followed by mix, for its upper bits.
func hash(key string) uint64 {
	h := uint64(14695981039346656037)
	for i := range len(key) {
		h = (h ^ uint64(key[i])) * 1099511628211
	}
	return mix(h)
}

// mix is the finaliser of splitmix64.
func mix(x uint64) uint64 {
	x = (x ^ x>>30) * 0xbf58476d1ce4e5b9
	x = (x ^ x>>27) * 0x94d049bb133111eb
	return x ^ x>>31
}
