package checkpoint

import (
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strconv"
	"strings"

	"vicreg/models/tensor"
	"vicreg/pipeline/whole"
)

const (
	keep      = 2 // the newest may be damaged if the disk lies about fsync
	tmpSuffix = ".tmp"
)

// Save writes c into dir, which must exist, and returns the path. If it returns without an error,
// the file is on disk; if it fails or the process dies, every earlier checkpoint is intact.
// Afterwards only the new checkpoint and its predecessor remain: lower steps are obsolete, and
// higher ones come from an abandoned continuation of the run.
func Save(dir string, c *Checkpoint) (path string, err error) {
	return save(dir, c, func(path string) (whole.File, error) { return os.Create(path) })
}

func save(dir string, c *Checkpoint, create func(path string) (whole.File, error)) (path string, err error) {
	path = filepath.Join(dir, fileName(c.Position.Step))
	meta, err := encode(c)
	if err != nil {
		return "", fmt.Errorf("save checkpoint %s: %w", path, err)
	}
	err = whole.Through(path, func() (whole.File, string, error) {
		f, err := create(path + tmpSuffix)
		return f, path + tmpSuffix, err
	}, func(w io.Writer) error { return tensor.WriteSafetensors(w, c.Tensors, meta) })
	if err != nil {
		return "", fmt.Errorf("save checkpoint %s: %w", path, err)
	}
	if err := prune(dir, c.Position.Step); err != nil {
		return "", fmt.Errorf("remove old checkpoints: %w", err)
	}
	return path, nil
}

// encode returns the metadata of the file, including the digest.
func encode(c *Checkpoint) (map[string]string, error) {
	if c.Position.Step < 0 {
		return nil, fmt.Errorf("step %d is negative", c.Position.Step)
	}
	if !json.Valid(c.Config) {
		return nil, errors.New("config is not valid JSON")
	}
	position, err := json.Marshal(c.Position)
	if err != nil {
		return nil, fmt.Errorf("encode position: %w", err)
	}
	meta := map[string]string{
		keyVersion:  strconv.Itoa(max(1, c.FormatVersion)),
		keyConfig:   string(c.Config),
		keyPosition: string(position),
	}
	sum, err := tensor.Digest(c.Tensors, meta)
	if err != nil {
		return nil, err
	}
	meta[keyDigest] = hex.EncodeToString(sum[:])
	return meta, nil
}

// prune removes all checkpoints but the one of this step and the keep-1 before it, and the
// temporary files left by killed saves.
func prune(dir string, step int64) error {
	steps, err := list(dir)
	if err != nil {
		return err
	}
	var errs []error
	for other := range steps {
		newer := 0
		for s := range steps {
			if s > other && s <= step {
				newer++
			}
		}
		if other > step || newer >= keep {
			errs = append(errs, os.Remove(filepath.Join(dir, steps[other])))
		}
	}
	entries, err := os.ReadDir(dir)
	if err != nil {
		return err
	}
	for _, e := range entries {
		if name, temporary := strings.CutSuffix(e.Name(), tmpSuffix); temporary && e.Type().IsRegular() && IsName(name) {
			errs = append(errs, os.Remove(filepath.Join(dir, e.Name())))
		}
	}
	return errors.Join(errs...)
}
