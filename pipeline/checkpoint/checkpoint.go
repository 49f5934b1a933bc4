// Package checkpoint stores what a run needs to resume: one safetensors file per save, readable by
// any tool that supports the format. A file gets its final name only once it is complete and on
// disk; until then the previous one stays valid. Only one process may save into a folder at a time.
package checkpoint

import (
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"vicreg/models/tensor"
)

// FormatVersion is the newest checkpoint version; all versions up to it can be read. Version 2
// marks runs with settings that change the pixels images are converted to, so that an older program
// refuses to resume them; all other runs are still written as version 1.
const FormatVersion = 2

// The keys of the file's metadata.
const (
	keyVersion  = "format_version"
	keyConfig   = "config"
	keyPosition = "position"
	keyDigest   = "sha256" // over tensors and all other metadata; see tensor.Digest
)

// ErrNone is returned by Latest when a folder holds no valid checkpoint.
var ErrNone = errors.New("no valid checkpoint")

// Checkpoint is the whole state of a run between two steps.
type Checkpoint struct {
	FormatVersion int             // 0 means 1
	Config        json.RawMessage // the run's effective settings
	Position      Position
	Tensors       map[string]*tensor.Tensor // parameters, statistics, optimiser state
}

// Position is where a run stands: everything the next batch and step depend on besides settings and
// tensors.
type Position struct {
	Epoch     int     `json:"epoch"` // from 0
	Batch     int     `json:"batch"` // the next one within the epoch
	Step      int64   `json:"step"`  // steps taken, rejected ones included
	Seed      uint64  `json:"seed"`
	LossScale float64 `json:"loss_scale"`
	Steady    int     `json:"steady,omitempty"` // consecutive good steps since the loss scale changed; float16 only
}

// VersionError reports a checkpoint written by a newer program.
type VersionError struct {
	Path      string
	Found, Up int // version of the file; newest readable version
}

func (e *VersionError) Error() string {
	return fmt.Sprintf("checkpoint %s has format version %d, this program reads up to version %d: use a newer vicreg",
		e.Path, e.Found, e.Up)
}

// Load reads and verifies one file. A newer format is a *VersionError.
func Load(path string) (*Checkpoint, error) {
	tensors, meta, err := tensor.ReadSafetensorsFile(path)
	if err != nil {
		return nil, fmt.Errorf("read checkpoint: %w", err)
	}
	c, err := decode(path, tensors, meta)
	if err != nil {
		return nil, fmt.Errorf("read checkpoint %s: %w", path, err)
	}
	return c, nil
}

func decode(path string, tensors map[string]*tensor.Tensor, meta map[string]string) (*Checkpoint, error) {
	version, err := strconv.Atoi(meta[keyVersion])
	if err != nil || version < 1 {
		return nil, fmt.Errorf("invalid format version %q", meta[keyVersion])
	}
	if version > FormatVersion {
		return nil, &VersionError{path, version, FormatVersion}
	}
	want := meta[keyDigest]
	delete(meta, keyDigest)
	sum, err := tensor.Digest(tensors, meta)
	if err != nil {
		return nil, err
	}
	if got := hex.EncodeToString(sum[:]); got != want {
		return nil, fmt.Errorf("content has SHA-256 %s, saved as %s", got, want)
	}
	c := &Checkpoint{FormatVersion: version, Config: json.RawMessage(meta[keyConfig]), Tensors: tensors}
	if err := json.Unmarshal([]byte(meta[keyPosition]), &c.Position); err != nil {
		return nil, fmt.Errorf("decode position: %w", err)
	}
	return c, nil
}

// Latest returns the newest valid checkpoint in a folder, and one warning for each newer file that
// was skipped as truncated or corrupt. If none is valid it returns ErrNone. A file of a newer
// format, or one that cannot be read although it may be good, is never skipped: it is an error,
// since resuming from an older file would silently discard work.
func Latest(dir string) (c *Checkpoint, warnings []string, err error) {
	files, err := Files(dir)
	if err != nil {
		return nil, nil, err
	}
	for _, path := range files {
		c, err := Load(path)
		if err == nil {
			return c, warnings, nil
		}
		var newer *VersionError
		if errors.As(err, &newer) {
			return nil, warnings, newer
		}
		if unread(err) {
			return nil, warnings, fmt.Errorf("%w; the file may be good: try again, or remove it to use an older checkpoint", err)
		}
		warnings = append(warnings, fmt.Sprintf("skipped: %v", err))
	}
	return nil, warnings, fmt.Errorf("look for a checkpoint in %s: %w", dir, ErrNone)
}

// unread reports whether Load failed to open or read the file, as opposed to what is in it. A file
// shorter than its header says is not a *fs.PathError.
func unread(err error) bool {
	var failed *fs.PathError
	return errors.As(err, &failed)
}

// Files lists the checkpoints in a folder without reading them, highest step first. A missing
// folder has none.
func Files(dir string) ([]string, error) {
	steps, err := list(dir)
	if err != nil {
		return nil, err
	}
	var paths []string
	for _, s := range slices.Backward(slices.Sorted(maps.Keys(steps))) {
		paths = append(paths, filepath.Join(dir, steps[s]))
	}
	return paths, nil
}

// list maps the step of each checkpoint in a folder to its file name.
func list(dir string) (map[int64]string, error) {
	entries, err := os.ReadDir(dir)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("list checkpoints: %w", err)
	}
	steps := map[int64]string{}
	for _, e := range entries {
		if step, ok := stepOf(e.Name()); ok {
			steps[step] = e.Name()
		}
	}
	return steps, nil
}

// IsName reports whether a file with this name counts as a checkpoint.
func IsName(name string) bool {
	_, ok := stepOf(name)
	return ok
}

// stepOf parses the step from a checkpoint's file name.
func stepOf(name string) (step int64, ok bool) {
	middle, isCheckpoint := strings.CutPrefix(name, "checkpoint-")
	number, whole := strings.CutSuffix(middle, ".safetensors")
	step, err := strconv.ParseInt(number, 10, 64)
	return step, isCheckpoint && whole && err == nil && step >= 0 && name == fileName(step)
}

func fileName(step int64) string { return fmt.Sprintf("checkpoint-%d.safetensors", step) }
