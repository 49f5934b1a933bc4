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

// readShard appends the images of a tar file of the given size to b, with their offsets in it, so
// that each can be read on its own. Only regular members count; hidden ones are skipped. See labels
// for how a member gets its label.
func readShard(r io.ReadSeeker, size int64, name string, b *builder) error {
	archive := tar.NewReader(r)
	var said labels
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
		case path.Ext(member) == ".cls", path.Ext(member) == ".json":
			if err := said.read(member, archive, h.Size); err != nil {
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
		b.as(said.of(m))
	}
	return nil
}

// plain rejects a member whose bytes are not contiguous within the shard.
func plain(h *tar.Header, offset, size int64) error {
	for record := range h.PAXRecords {
		if strings.HasPrefix(record, "GNU.sparse.") {
			h.Typeflag = tar.TypeGNUSparse
		}
	}
	if h.Typeflag == tar.TypeGNUSparse {
		return errors.New("stored as a sparse file: create the tar file without --sparse")
	}
	if h.Size > size-offset {
		return cut(io.ErrUnexpectedEOF, 0)
	}
	return nil
}

// cut explains an error in the middle of a tar file.
func cut(err error, members int) error {
	if errors.Is(err, io.ErrUnexpectedEOF) {
		return errors.New("the tar file is truncated")
	}
	return fmt.Errorf("after %d images: %w", members, err)
}

// hidden reports whether a member or one of its folders begins with a dot.
func hidden(member string) bool {
	return strings.HasPrefix(member, ".") || strings.Contains(member, "/.")
}
