package pipeline

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"syscall"

	"vicreg/models"
	"vicreg/pipeline/checkpoint"
	"vicreg/pipeline/dataset"
	"vicreg/pipeline/usage"
)

// badFile lists the images that could not be used, a line each. Of several processes that
// train together every one has its own; those but the first have their rank in its name.
const badFile = "bad-images.txt"

func badFileOf(rank int) string {
	if rank == 0 {
		return badFile
	}
	return fmt.Sprintf("bad-images-rank%d.txt", rank)
}

var badFiles = regexp.MustCompile(`^bad-images(-rank[0-9]+)?\.txt$`)

// artifacts are the graphs that lie in the folder of a run, by file name.
var artifacts = map[string]func(models.Config) (*models.Artifact, error){
	"training_model.onnx": models.Training, "optimizer_model.onnx": models.Optimizer, "eval_model.onnx": models.Eval,
}

// isRunFile says that training writes a file of this name into its folder.
func isRunFile(name string) bool {
	return name == metricsFile || badFiles.MatchString(name) || artifacts[name] != nil || checkpoint.IsName(name)
}

// checkFolder refuses a folder that cannot become that of a new run: a file, or,
// without force, one that holds a run. It changes nothing.
func checkFolder(dir string, force bool) error {
	info, err := os.Stat(dir)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if errors.Is(err, syscall.ENOTDIR) || err == nil && !info.IsDir() {
		return usage.Errorf("--out %s: not a folder", dir)
	}
	if err != nil {
		return fmt.Errorf("look into the folder of the run: %w", err)
	}
	checkpoints, err := checkpoint.Files(dir)
	if err != nil {
		return err
	}
	// A run that died before its first checkpoint has left an empty file at most.
	metrics, err := os.Stat(filepath.Join(dir, metricsFile))
	if !force && (len(checkpoints) > 0 || err == nil && metrics.Size() > 0) {
		return usage.Errorf("%s holds a run already; --resume goes on with it, --force starts anew", dir)
	}
	return nil
}

// claimFolder makes the folder if need be and keeps other processes off it until
// the returned file is closed, or this process ends in whatever way.
func claimFolder(dir string) (*os.File, error) {
	if err := os.MkdirAll(dir, 0o777); err != nil {
		return nil, fmt.Errorf("make the folder of the run: %w", err)
	}
	f, err := os.Open(dir)
	if err != nil {
		return nil, fmt.Errorf("open the folder of the run: %w", err)
	}
	// Only a lock that another holds is a reason to stop: some network file
	// systems have none.
	if err := syscall.Flock(int(f.Fd()), syscall.LOCK_EX|syscall.LOCK_NB); errors.Is(err, syscall.EWOULDBLOCK) {
		f.Close()
		return nil, usage.Errorf("another vicreg train is at work in %s", dir)
	}
	return f, nil
}

// clearFolder removes what an earlier run has left of its own; models that were
// exported from it stay.
func clearFolder(dir string) error {
	old, err := runFiles(dir)
	if err != nil {
		return err
	}
	old = slices.DeleteFunc(old, func(path string) bool { return artifacts[filepath.Base(path)] != nil })
	for _, path := range old {
		if err := os.Remove(path); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return fmt.Errorf("start anew in %s: %w", dir, err)
		}
	}
	return nil
}

// clearRanks removes the lists of bad files of all processes but the first.
func clearRanks(dir string) error {
	files, err := runFiles(dir)
	if err != nil {
		return err
	}
	for _, path := range files {
		if name := filepath.Base(path); name != badFile && badFiles.MatchString(name) {
			if err := os.Remove(path); err != nil {
				return fmt.Errorf("go on in %s: %w", dir, err)
			}
		}
	}
	return nil
}

// runFiles are the files of a run that training has written into its folder.
func runFiles(dir string) (paths []string, err error) {
	entries, err := os.ReadDir(dir)
	if err != nil {
		return nil, fmt.Errorf("look into the folder of the run: %w", err)
	}
	for _, e := range entries {
		if isRunFile(e.Name()) {
			paths = append(paths, filepath.Join(dir, e.Name()))
		}
	}
	return paths, nil
}

// writeArtifacts puts the run's graphs into its folder, in ONNX Runtime's
// vocabulary and in the portable form, so that any ONNX Runtime can use them.
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
		if err := os.WriteFile(filepath.Join(t.out, name), b, 0o666); err != nil {
			return fmt.Errorf("write the training artifacts: %w", err)
		}
	}
	return nil
}

// bad are the files that this process has met and could not use.
func (r *run) bad() []dataset.Bad {
	bad := r.reader.Quarantined()
	if r.watch != nil {
		bad = append(bad, r.watch.reader.Quarantined()...)
	}
	return bad
}

// describeBad says how many files were found bad, by this process, and where they are
// listed; "" for none.
// One of several processes meets those of its part of each batch only.
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
	return fmt.Sprintf("%s%d of %d images were found bad, see %s", least, n, of, filepath.Join(r.out, badFileOf(r.group().Rank())))
}

// tellBad is describeBad when there are more of them than it has told of.
func (r *run) tellBad(p *progress) string {
	n := len(r.bad())
	if n <= p.bad {
		return ""
	}
	p.bad = n
	return r.describeBad()
}

// listBad writes the files that could not be used, with the reason after a tab. What
// does not print, and would break a line or a column, is escaped: usage.Printable.
func (r *run) listBad() error {
	bad := r.bad()
	if len(bad) == 0 {
		return nil
	}
	var lines []byte
	for _, b := range bad {
		lines = fmt.Appendf(lines, "%s\t%s\n", usage.Printable(b.Key), usage.Printable(b.Reason))
	}
	if err := os.MkdirAll(r.out, 0o777); err != nil { // of another machine, maybe
		return fmt.Errorf("list bad images: %w", err)
	}
	if err := os.WriteFile(filepath.Join(r.out, badFileOf(r.group().Rank())), lines, 0o666); err != nil {
		return fmt.Errorf("list bad images: %w", err)
	}
	return nil
}
