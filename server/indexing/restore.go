package indexing

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"

	"vicreg/pipeline/usage"
	"vicreg/server/index"
)

func runRestore(ctx context.Context, args []string, stdout, _ io.Writer) error {
	f := usage.Flags(stdout, usage.Text{
		Name:     "index restore",
		Purpose:  "Replace an index with a backup, after verifying all its checksums.",
		Synopsis: "COPY FILE",
		Examples: []string{"vicreg index restore photos-2026-11.index photos.index"},
		Notes: `What FILE had is gone afterwards, and so is the log of changes beside it (FILE-wal), which
must not meet the copy: that is why cp over an index damages it. FILE may be damaged or
missing. COPY stays. Stop the server first; nobody may have FILE open, not even to read
it. Until FILE is replaced, in one step, there must be room for both. If it is
interrupted, give the command again.`,
	})
	var from, path string
	if err := usage.Parse(f, args, usage.Positional{Name: "COPY", Value: &from}, usage.Positional{Name: "FILE", Value: &path}); err != nil {
		return err
	}
	n, err := index.Restore(ctx, from, path)
	switch {
	case errors.Is(err, index.ErrInUse):
		return usage.Errorf("%w; stop the server, or whatever else has it open, first", err)
	case errors.Is(err, index.ErrForeign), errors.Is(err, index.ErrNewer), errors.Is(err, fs.ErrNotExist):
		return &usage.Error{Err: err}
	case err != nil:
		return err
	}
	_, err = fmt.Fprintf(stdout, "restored %s of %s from %s\n", usage.Count(n, "item"), usage.Printable(path), usage.Printable(from))
	return err
}
