package indexing

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"strings"

	"vicreg/pipeline/usage"
	"vicreg/server/index"
)

// parseFile parses the arguments of a command that has only FILE and flags.
func parseFile(args []string, stdout io.Writer, t usage.Text) (path string, err error) {
	f := usage.Flags(stdout, t)
	err = usage.Parse(f, args, usage.Positional{Name: "FILE", Value: &path})
	return path, err
}

// info is the output of index info.
type info struct {
	Items       int      `json:"items"`
	Damaged     int      `json:"damaged"` // others, which are left out
	Namespaces  []nsInfo `json:"namespaces"`
	Fingerprint string   `json:"fingerprint"`
	Dim         int      `json:"dim"`
	Similarity  string   `json:"similarity"`
	Disk        int64    `json:"disk_bytes"`
	Log         int64    `json:"log_bytes"`
	Memory      int64    `json:"memory_bytes"`
}

type nsInfo struct {
	Name   string   `json:"name"`
	Items  int      `json:"items"`
	Fields []string `json:"fields"`
}

func runInfo(ctx context.Context, args []string, stdout, stderr io.Writer) (err error) {
	f := usage.Flags(stdout, usage.Text{
		Name:     "index info",
		Purpose:  "Describe an index: items, namespaces and their metadata fields, model, and disk and memory use.",
		Synopsis: "FILE [flags]",
		Examples: []string{"vicreg index info photos.index"},
		Notes:    "The index may be in use by a server.",
	})
	asJSON := f.Bool("json", false, "print one JSON object")
	var path string
	if err := usage.Parse(f, args, usage.Positional{Name: "FILE", Value: &path}); err != nil {
		return err
	}
	progress, clear := reading(stderr)
	d, err := index.Describe(ctx, path, progress)
	clear()
	if err != nil {
		return advised(err, path, true)
	}
	warn(stderr, path, d.Damaged)
	b, s := d.Binding, d.Stats
	about := info{Items: s.Items, Damaged: s.Damaged, Namespaces: []nsInfo{}, Fingerprint: b.Fingerprint, Dim: b.Dim, Similarity: b.Similarity(),
		Disk: s.Disk, Log: s.Log, Memory: s.Memory}
	for _, ns := range d.Namespaces {
		about.Namespaces = append(about.Namespaces, nsInfo{ns.Name, ns.Items, append([]string{}, ns.Fields...)})
	}
	if *asJSON {
		return printJSON(stdout, about)
	}
	_, err = io.WriteString(stdout, about.text())
	return err
}

func (i *info) text() string {
	var b strings.Builder
	fmt.Fprintf(&b, "items       %d\n", i.Items)
	if i.Damaged > 0 {
		fmt.Fprintf(&b, "damaged     %d more, which are left out\n", i.Damaged)
	}
	for _, ns := range i.Namespaces {
		fmt.Fprintf(&b, "namespace   %s: %s", usage.Printable(ns.Name), usage.Count(ns.Items, "item"))
		for k, field := range ns.Fields {
			b.WriteString([]string{", with ", ", "}[min(k, 1)] + usage.Printable(field))
		}
		b.WriteByte('\n')
	}
	fmt.Fprintf(&b, "model       %s, vectors of %d numbers\n", i.Fingerprint, i.Dim)
	fmt.Fprintf(&b, "similarity  %s\n", i.Similarity)
	fmt.Fprintf(&b, "disk        %s, and a log of %s\n", mebibytes(i.Disk), mebibytes(i.Log))
	fmt.Fprintf(&b, "memory      %s\n", mebibytes(i.Memory))
	return b.String()
}

func mebibytes(n int64) string { return fmt.Sprintf("%.1f MiB", float64(n)/(1<<20)) }

func printJSON(w io.Writer, v any) error {
	text, err := json.MarshalIndent(v, "", "  ")
	if err != nil {
		return err
	}
	_, err = fmt.Fprintf(w, "%s\n", text)
	return err
}

func runCompact(ctx context.Context, args []string, stdout, stderr io.Writer) (err error) {
	path, err := parseFile(args, stdout, usage.Text{
		Name:     "index compact",
		Purpose:  "Reclaim the disk space of deleted items.",
		Synopsis: "FILE",
		Examples: []string{"vicreg index compact photos.index"},
		Notes:    "While it runs, it needs as much free disk space as the index takes.",
	})
	if err != nil {
		return err
	}
	f, err := open(ctx, path, index.Options{}, stderr)
	if err != nil {
		return alone(err, "if it is a server, stop that first")
	}
	defer func() { err = errors.Join(err, f.Close()) }()
	before := f.Stats()
	if err := f.Compact(ctx); err != nil {
		return err
	}
	_, err = fmt.Fprintf(stdout, "compacted %s from %s to %s\n", usage.Printable(path), mebibytes(before.Disk+before.Log), mebibytes(f.Stats().Disk))
	return err
}

func runBackup(ctx context.Context, args []string, stdout, stderr io.Writer) (err error) {
	f := usage.Flags(stdout, usage.Text{
		Name:     "index backup",
		Purpose:  "Write a consistent copy of an index.",
		Synopsis: "FILE -o COPY",
		Examples: []string{"vicreg index backup photos.index -o photos-2026-11.index"},
		Notes: `A server may write to the index during the backup. Damaged items are copied as they are,
and said to be there: do not let such a copy take the place of the last one without.`,
	})
	out := f.String("o", "", "file `COPY` to create; must not exist")
	var path string
	if err := usage.Parse(f, args, usage.Positional{Name: "FILE", Value: &path}); err != nil {
		return err
	}
	if err := usage.Require(f, "o"); err != nil {
		return err
	}
	if *out == "-" {
		return usage.Errorf("-o -: give the name of a file")
	}
	if _, err := os.Lstat(*out); !errors.Is(err, fs.ErrNotExist) {
		return usage.Errorf("-o %s already exists", usage.Printable(*out))
	}
	progress, clear := reading(stderr)
	bad, err := index.Backup(ctx, path, *out, progress)
	clear()
	if err != nil {
		return advised(err, path, true)
	}
	warn(stderr, *out, bad)
	_, err = fmt.Fprintf(stdout, "wrote %s\n", usage.Printable(*out))
	return err
}
