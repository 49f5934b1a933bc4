package pipeline

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"slices"

	"vicreg/models"
	"vicreg/pipeline/checkpoint"
	"vicreg/pipeline/dataset"
	"vicreg/pipeline/usage"
	"vicreg/pipeline/whole"
)

// badFile lists the unusable images, one per line. Of several processes that train together each
// writes its own; all but the first have their rank in the name.
const badFile = "bad-images.txt"

func badFileOf(rank int) string {
	if rank == 0 {
		return badFile
	}
	return fmt.Sprintf("bad-images-rank%d.txt", rank)
}

var badFiles = regexp.MustCompile(`^bad-images(-rank[0-9]+)?\.txt$`)

// artifacts maps the file names of the graphs in a run's folder to their builders.
var artifacts = map[string]func(models.Config) (*models.Artifact, error){
	"training_model.onnx": models.Training, "optimizer_model.onnx": models.Optimizer, "eval_model.onnx": models.Eval,
}

// isRunFile reports whether training writes a file with this name into its folder.
func isRunFile(name string) bool {
	return name == metricsFile || badFiles.MatchString(name) || artifacts[name] != nil || checkpoint.IsName(name)
}

// clearFolder removes what training has left in the folder, except for the graphs, which will be
// overwritten. Models exported from the run stay.
func clearFolder(dir string) error {
	old, err := runFiles(dir)
	if err != nil {
		return err
	}
	old = slices.DeleteFunc(old, func(path string) bool { return artifacts[filepath.Base(path)] != nil })
	for _, path := range old {
		if err := os.Remove(path); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return fmt.Errorf("start over in %s: %w", dir, err)
		}
	}
	return nil
}

// clearRanks removes the lists of bad files of all processes except the first.
func clearRanks(dir string) error {
	files, err := runFiles(dir)
	if err != nil {
		return err
	}
	for _, path := range files {
		if name := filepath.Base(path); name != badFile && badFiles.MatchString(name) {
			if err := os.Remove(path); err != nil {
				return fmt.Errorf("continue in %s: %w", dir, err)
			}
		}
	}
	return nil
}

// runFiles lists the files that training has written into a run's folder.
func runFiles(dir string) (paths []string, err error) {
	entries, err := os.ReadDir(dir)
	if err != nil {
		return nil, fmt.Errorf("read the run folder: %w", err)
	}
	for _, e := range entries {
		if isRunFile(e.Name()) {
			paths = append(paths, filepath.Join(dir, e.Name()))
		}
	}
	return paths, nil
}

// writeArtifacts writes the run's graphs into its folder, with the names of ONNX Runtime's training
// artifacts and in portable form, so that any ONNX Runtime can use them.
func (t *trainFlags) writeArtifacts() error {
	c := t.graphs(0)
	for name, build := range artifacts {
		a, err := build(c)
		if err != nil {
			return err
		}
		b, err := a.Graph.Marshal()
		if err != nil {
			return err
		}
		if err := whole.WriteFile(filepath.Join(t.out, name), b); err != nil {
			return fmt.Errorf("write the training artifacts: %w", err)
		}
	}
	return nil
}

// bad lists the unusable files this process has come across.
func (r *run) bad() []dataset.Bad {
	bad := r.reader.Quarantined()
	if r.watch != nil {
		bad = append(bad, r.watch.reader.Quarantined()...)
	}
	return bad
}

// describeBad says how many files this process found to be bad and where they are listed; "" for
// none. Of several processes, each only meets the files in its own part of each batch.
func (r *run) describeBad() string {
	n, of, least := len(r.bad()), r.reader.Set().Len(), ""
	if n == 0 {
		return ""
	}
	if r.watch != nil {
		of += r.watch.reader.Set().Len()
	}
	if r.group().Size() > 1 {
		least = "at least "
	}
	return fmt.Sprintf("%s%d of %d images are bad, see %s", least, n, of, filepath.Join(r.out, badFileOf(r.group().Rank())))
}

// tellBad is describeBad if there are more bad files than last reported.
func (r *run) tellBad(p *progress) string {
	n := len(r.bad())
	if n <= p.bad {
		return ""
	}
	p.bad = n
	return r.describeBad()
}

// listBad writes the unusable files with the reason after a tab. usage.Printable escapes characters
// that would break a line or column.
func (r *run) listBad() error {
	bad := r.bad()
	if len(bad) == 0 {
		return nil
	}
	var lines []byte
	for _, b := range bad {
		lines = fmt.Appendf(lines, "%s\t%s\n", usage.Printable(b.Key), usage.Printable(b.Reason))
	}
	if err := os.MkdirAll(r.out, 0o777); err != nil { // may not exist yet on another machine
		return fmt.Errorf("list bad images: %w", err)
	}
	if err := whole.WriteFile(filepath.Join(r.out, badFileOf(r.group().Rank())), lines); err != nil {
		return fmt.Errorf("list bad images: %w", err)
	}
	return nil
}
