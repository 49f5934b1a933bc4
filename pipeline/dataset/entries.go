package dataset

import (
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
)

// entry classifies a directory entry for a set.
type entry uint8

const (
	otherFile entry = iota // or a pipe or device
	subFolder
	pictureFile
	tarFile
	lostLink // dangling; may stand for a folder
)

// entryOf classifies d. It follows links; other entries cost no system call. A dangling link with
// an image's name counts as an image: it is quarantined when read, where people see it.
func entryOf(dir string, d fs.DirEntry) (entry, error) {
	mode, lost := d.Type(), false
	if mode&fs.ModeSymlink != 0 {
		info, err := os.Stat(filepath.Join(dir, d.Name()))
		if fatal(err) != nil {
			return otherFile, err
		}
		if lost = err != nil; !lost {
			mode = info.Mode()
		}
	}
	switch isFile := lost || mode.IsRegular(); {
	case mode.IsDir():
		return subFolder, nil
	case isFile && isPicture(d.Name()):
		return pictureFile, nil
	case isFile && strings.EqualFold(filepath.Ext(d.Name()), ".tar"):
		return tarFile, nil
	case lost:
		return lostLink, nil
	}
	return otherFile, nil
}

// listed is the number of entries of a folder that are held at a time: the entries of a million
// files in one folder take four times the memory of their names.
const listed = 1024

// namesIn returns the sorted names of the images and folders in a folder, and those of dangling
// links. Folder names end in a slash, so that they sort where the keys of their images belong.
// Hidden entries are skipped; all others are counted by ending.
func namesIn(dir string, others map[string]int) (names, lost []string, err error) {
	err = eachEntry(dir, func(name string, e entry) (more bool) {
		switch e {
		case subFolder:
			names = append(names, name+"/")
		case pictureFile:
			names = append(names, name)
		case lostLink:
			lost = append(lost, name)
		default:
			others[ending(name)]++
		}
		return true
	})
	if err != nil {
		return nil, nil, err
	}
	slices.Sort(names)
	slices.Sort(lost)
	return names, lost, nil
}

// eachEntry calls do for each entry of a folder that is not hidden, in no particular order, until
// do returns false.
func eachEntry(dir string, do func(name string, e entry) (more bool)) error {
	f, err := os.Open(dir)
	if err != nil {
		return err
	}
	defer f.Close()
	for {
		entries, err := f.ReadDir(listed)
		for _, d := range entries {
			if strings.HasPrefix(d.Name(), ".") {
				continue
			}
			e, err := entryOf(dir, d)
			if err != nil {
				return err
			}
			if !do(d.Name(), e) {
				return nil
			}
		}
		if err == io.EOF {
			return nil
		}
		if err != nil {
			return err
		}
	}
}

// anyPicture reports whether a tree contains any image. Links that form a cycle are not followed.
func anyPicture(dir string, above trail) (found bool, err error) {
	info, err := os.Stat(dir)
	if err != nil {
		return false, err
	}
	here := above.to(dir, info, true)
	if here.circle() != nil {
		return false, nil
	}
	var folders []string
	err = eachEntry(dir, func(name string, e entry) (more bool) {
		if e == subFolder {
			folders = append(folders, filepath.Join(dir, name))
		}
		found = e == pictureFile
		return !found
	})
	for _, f := range folders {
		if err != nil || found {
			break
		}
		found, err = anyPicture(f, here)
	}
	return found, err
}
