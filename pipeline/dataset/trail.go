package dataset

import (
	"fmt"
	"io/fs"
	"os"

	"vicreg/pipeline/usage"
)

// trail is how a walk came from the root of a tree to a folder: the folders on the
// way, that one last.
type trail []step

type step struct {
	name string
	info fs.FileInfo // of the folder, not of the link to it
	link bool        // it was come to by a link
}

// to is the trail one folder further.
func (t trail) to(name string, info fs.FileInfo, link bool) trail {
	return append(t[:len(t):len(t)], step{name, info, link})
}

// circle is an error when the last folder is on the trail twice. Without a link there
// is no way for it to be, and nothing is compared.
func (t trail) circle() error {
	by := len(t) - 1
	for by >= 0 && !t[by].link {
		by--
	}
	if by < 0 {
		return nil
	}
	for _, s := range t[:by] {
		if os.SameFile(s.info, t[len(t)-1].info) {
			where := "the folder " + usage.Printable(s.name) + ", in which it lies"
			if s.name == "" {
				where = "the folder itself"
			}
			return fmt.Errorf("link %s leads in a circle, back to %s: remove it", usage.Printable(t[by].name), where)
		}
	}
	return nil
}
