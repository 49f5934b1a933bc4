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
		Purpose:  "Tell what is in an index: items, namespaces and their metadata fields, the model, and what it takes of disk and memory.",
		Synopsis: "FILE [flags]",
		Examples: []string{"vicreg index info photos.index"},
		Notes:    "A server may own the index meanwhile.",
	})
	asJSON := f.Bool("json", false, "print one JSON object")
	var path string
	if err := usage.Parse(f, args, usage.Positional{Name: "FILE", Value: &path}); err != nil {
		return err
	}
	file, err := open(ctx, path, index.Options{ReadOnly: true}, stderr)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, file.Close()) }()
	b, s := file.Binding(), file.Stats()
	about := info{Items: s.Items, Namespaces: []nsInfo{}, Fingerprint: b.Fingerprint, Dim: b.Dim, Similarity: b.Similarity(),
		Disk: s.Disk, Log: s.Log, Memory: s.Memory}
	for _, ns := range file.Namespaces() {
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
	for _, ns := range i.Namespaces {
		fmt.Fprintf(&b, "namespace   %s: %d items", usage.Printable(ns.Name), ns.Items)
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

func runCheck(ctx context.Context, args []string, stdout, stderr io.Writer) (err error) {
	path, err := parseFile(args, stdout, usage.Text{
		Name:     "index check",
		Purpose:  "Read all of an index and compare it with its checksums.",
		Synopsis: "FILE",
		Examples: []string{"vicreg index check photos.index"},
		Notes:    "The exit code is 1 when something is damaged. A server may own the index meanwhile.",
	})
	if err != nil {
		return err
	}
	f, err := open(ctx, path, index.Options{ReadOnly: true}, stderr)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, f.Close()) }()
	if err := f.Verify(ctx); err != nil {
		return err
	}
	_, err = fmt.Fprintf(stdout, "%s is in order: %d items\n", usage.Printable(path), f.Len())
	return err
}

func runCompact(ctx context.Context, args []string, stdout, stderr io.Writer) (err error) {
	path, err := parseFile(args, stdout, usage.Text{
		Name:     "index compact",
		Purpose:  "Give the room of deleted items back to the disk.",
		Synopsis: "FILE",
		Examples: []string{"vicreg index compact photos.index"},
		Notes:    "It needs as much free disk as the index takes, for as long as it works.",
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
	_, err = fmt.Fprintf(stdout, "%s has %s now, it had %s\n", usage.Printable(path), mebibytes(f.Stats().Disk), mebibytes(before.Disk+before.Log))
	return err
}

func runBackup(ctx context.Context, args []string, stdout, stderr io.Writer) (err error) {
	f := usage.Flags(stdout, usage.Text{
		Name:     "index backup",
		Purpose:  "Copy an index as it is at one moment.",
		Synopsis: "FILE -o COPY",
		Examples: []string{"vicreg index backup photos.index -o photos-2026-11.index"},
		Notes:    "A server may own the index and write it meanwhile.",
	})
	out := f.String("o", "", "`COPY` to write, where nothing is yet")
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
		return usage.Errorf("-o %s: there is a file already", usage.Printable(*out))
	}
	file, err := open(ctx, path, index.Options{ReadOnly: true}, stderr)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, file.Close()) }()
	if err := file.Backup(ctx, *out); err != nil {
		return err
	}
	_, err = fmt.Fprintf(stdout, "wrote %s\n", usage.Printable(*out))
	return err
}
