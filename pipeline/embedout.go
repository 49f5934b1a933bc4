package pipeline

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"path/filepath"
	"strings"
	"unicode/utf8"

	"vicreg/pipeline/usage"
	"vicreg/pipeline/vectors"
	"vicreg/pipeline/whole"
)

// checkKeys reports a path that the output format cannot represent. Rows without their paths, or
// with altered ones, would be useless to anyone looking them up by path.
func (e *embedding) checkKeys() error {
	for i := range e.set.Len() {
		switch key := e.set.Key(i); {
		case e.npy() && strings.ContainsAny(key, "\r\n"):
			return usage.Errorf("%q contains a line break, but %s has one path per line: write .jsonl or .parquet instead", key, e.out+".paths")
		case !e.npy() && !utf8.ValidString(key):
			return usage.Errorf("%q is not valid UTF-8, which %s requires: write .npy instead, or rename it", key, filepath.Ext(e.out))
		}
	}
	return nil
}

// outputs lists the final files: VECTORS and those beside it.
func (e *embedding) outputs() []string {
	if e.npy() {
		return []string{e.out, e.out + ".json", e.out + ".paths"}
	}
	return []string{e.out, e.out + ".json"}
}

// part is the journal from which an interrupted run resumes.
func (e *embedding) part() string { return e.out + ".part" }

// npy reports whether the paths go into a separate file.
func (e *embedding) npy() bool { return strings.EqualFold(filepath.Ext(e.out), ".npy") }

var errNoVector = errors.New("none of the images has a vector")

// finish writes the output from the journal, either all of its files or none, since old and new
// files do not match.
func (e *embedding) finish() error {
	info := e.info()
	err := e.journal.All(func(i int, v []float32, bad string) error {
		if v == nil {
			info.Bad = append(info.Bad, vectors.Bad{Path: usage.UTF8(e.set.Key(i)), Reason: usage.UTF8(bad)})
			return nil
		}
		info.Count++
		return nil
	})
	if err != nil {
		return err
	}
	if info.Count == 0 {
		return fmt.Errorf("%w; %s: %s", errNoVector, usage.Printable(info.Bad[0].Path), usage.Printable(info.Bad[0].Reason))
	}
	text, err := json.MarshalIndent(info, "", "  ")
	if err != nil {
		return err
	}
	parts := []whole.Part{
		{Write: func(w io.Writer) error { return e.vectors(w, info) }},
		{Ending: ".json", Write: func(w io.Writer) error {
			_, err := fmt.Fprintf(w, "%s\n", text)
			return err
		}},
	}
	if e.npy() {
		parts = append(parts, whole.Part{Ending: ".paths", Write: e.paths})
	}
	if err := whole.Together(e.out, parts...); err != nil {
		return err
	}
	fmt.Fprintf(e.stdout, "wrote %s: %s of %s, model %s\n", e.out, usage.Count(info.Count, "vector"), usage.Count(info.Dim, "number"), info.Fingerprint)
	if n := len(info.Bad); n > 0 {
		fmt.Fprintf(e.stdout, "skipped %d of %s; %s lists them with the reasons\n", n, usage.Count(e.set.Len(), "image"), e.out+".json")
	}
	return nil
}

func (e *embedding) vectors(out io.Writer, info vectors.Info) error {
	w, err := vectors.Create(out, e.out, info)
	if err != nil {
		return err
	}
	err = e.journal.All(func(i int, v []float32, _ string) error {
		if v == nil {
			return nil
		}
		return w.Write(e.set.Key(i), v)
	})
	return errors.Join(err, w.Close())
}

// paths writes the path of each vector's image, one per line.
func (e *embedding) paths(w io.Writer) error {
	return e.journal.All(func(i int, v []float32, _ string) error {
		if v == nil {
			return nil
		}
		_, err := io.WriteString(w, e.set.Key(i)+"\n")
		return err
	})
}
