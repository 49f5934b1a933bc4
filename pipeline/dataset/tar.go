package dataset

import (
	"archive/tar"
	"errors"
	"fmt"
	"io"
	"path"
	"strings"

	"vicreg/pipeline/usage"
)

// maxLabel bounds a .cls member, in bytes.
const maxLabel = 1 << 10

// readShard appends the pictures of a tar file of the given size to b, with their
// places in it, so that each can be read alone. Only regular members count; hidden
// ones are passed over. A member's label is that of the .cls member whose name is
// the same up to the first dot, else its first folder.
func readShard(r io.ReadSeeker, size int64, name string, b *builder) error {
	archive := tar.NewReader(r)
	classes := map[string]string{}
	var members []string
	for {
		h, err := archive.Next()
		if err == io.EOF {
			break
		}
		if err != nil {
			return cut(err, len(members))
		}
		member := strings.TrimLeft(path.Clean(h.Name), "/")
		if h.Typeflag != tar.TypeReg && h.Typeflag != tar.TypeGNUSparse || hidden(member) {
			continue
		}
		switch {
		case path.Ext(member) == ".cls":
			if classes[stem(member)], err = readLabel(archive, h.Size); err != nil {
				return fmt.Errorf("%s: %w", usage.Printable(member), err)
			}
		case isPicture(member):
			offset, err := r.Seek(0, io.SeekCurrent)
			if err != nil {
				return err
			}
			if err := plain(h, offset, size); err != nil {
				return fmt.Errorf("%s: %w", usage.Printable(member), err)
			}
			members = append(members, member)
			b.name(name, "/", member)
			b.files = append(b.files, file{size: h.Size})
			b.offsets = append(b.offsets, offset)
		}
	}
	for _, m := range members {
		b.as(labelOf(m, classes))
	}
	return nil
}

// plain refuses a member whose bytes do not lie in one piece within the shard.
func plain(h *tar.Header, offset, size int64) error {
	for record := range h.PAXRecords {
		if strings.HasPrefix(record, "GNU.sparse.") {
			h.Typeflag = tar.TypeGNUSparse
		}
	}
	if h.Typeflag == tar.TypeGNUSparse {
		return errors.New("stored as a sparse file: make the tar file without --sparse")
	}
	if h.Size > size-offset {
		return cut(io.ErrUnexpectedEOF, 0)
	}
	return nil
}

// cut names what the end of a file in the middle of a member means.
func cut(err error, members int) error {
	if errors.Is(err, io.ErrUnexpectedEOF) {
		return errors.New("the tar file is cut off")
	}
	return fmt.Errorf("after %d images: %w", members, err)
}

// hidden says that a member or a folder of it begins with a dot.
func hidden(member string) bool {
	return strings.HasPrefix(member, ".") || strings.Contains(member, "/.")
}

// stem is what WebDataset calls the key of a member: its name up to the first dot.
func stem(member string) string {
	folder, base := path.Split(member)
	base, _, _ = strings.Cut(base, ".")
	return folder + base
}

func readLabel(r io.Reader, size int64) (string, error) {
	if size > maxLabel {
		return "", fmt.Errorf("a label of %d bytes is over the limit of %d", size, maxLabel)
	}
	text, err := io.ReadAll(r)
	if err != nil {
		return "", cut(err, 0)
	}
	return strings.TrimSpace(string(text)), nil
}

func labelOf(member string, classes map[string]string) string {
	if label, ok := classes[stem(member)]; ok {
		return label
	}
	label, _, nested := strings.Cut(member, "/")
	if !nested {
		return ""
	}
	return label
}
