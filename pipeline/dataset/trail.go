package dataset

import (
	"fmt"
	"io/fs"
	"os"

	"vicreg/pipeline/usage"
)

// trail is the path of a walk from the root of a tree to a folder: all folders on the way,
// including that one.
type trail []step

type step struct {
	name string
	info fs.FileInfo // of the folder, not of the link to it
	link bool        // it was reached through a link
}

// to returns the trail extended by one folder.
func (t trail) to(name string, info fs.FileInfo, link bool) trail {
	return append(t[:len(t):len(t)], step{name, info, link})
}

// circle returns an error if the last folder is on the trail twice. That is impossible without a
// link, in which case nothing is compared.
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
			where := "the folder " + usage.Printable(s.name) + ", which contains it"
			if s.name == "" {
				where = "the folder itself"
			}
			return fmt.Errorf("symbolic link %s forms a loop back to %s: remove it", usage.Printable(t[by].name), where)
		}
	}
	return nil
}
