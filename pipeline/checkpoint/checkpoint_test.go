package checkpoint

import (
	"encoding/json"
	"errors"
	"math"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"syscall"
	"testing"

	"vicreg/models/tensor"
	"vicreg/pipeline/whole"
)

// at returns a checkpoint whose contents depend on its step.
func at(step int64) *Checkpoint {
	return &Checkpoint{
		FormatVersion: FormatVersion,
		Config:        json.RawMessage(`{"model":"resnet18","lr":0.5}`),
		Position:      Position{Epoch: 3, Batch: 7, Step: step, Seed: math.MaxUint64, LossScale: 1024, Steady: 1999},
		Tensors: map[string]*tensor.Tensor{
			"conv1.weight": tensor.Of([]float32{float32(step), -1, 2, 3}, 2, 2),
			"steps":        tensor.Of([]int64{step}),
		},
	}
}

func mustSave(t *testing.T, dir string, step int64) string {
	t.Helper()
	path, err := Save(dir, at(step))
	if err != nil {
		t.Fatal(err)
	}
	return path
}

func names(t *testing.T, dir string) string {
	t.Helper()
	entries, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	var all []string
	for _, e := range entries {
		all = append(all, e.Name())
	}
	return strings.Join(all, " ")
}

func TestSaveThenLatest(t *testing.T) {
	dir := t.TempDir()
	for _, step := range []int64{0, 9, 10, 100} {
		mustSave(t, dir, step)
		got, warnings, err := Latest(dir)
		if err != nil || len(warnings) > 0 {
			t.Fatalf("step %d: %v %v", step, err, warnings)
		}
		if want := at(step); !reflect.DeepEqual(got, want) {
			t.Errorf("read %+v, saved %+v", got, want)
		}
	}
	if got := names(t, dir); got != "checkpoint-10.safetensors checkpoint-100.safetensors" {
		t.Errorf("left in the folder: %s", got)
	}
}

func TestLatestOfNothing(t *testing.T) {
	dir := t.TempDir()
	for _, dir := range []string{dir, filepath.Join(dir, "absent")} {
		if _, _, err := Latest(dir); !errors.Is(err, ErrNone) {
			t.Errorf("%s: got %v", dir, err)
		}
	}
}

// Files with names that only resemble a checkpoint's are left alone.
func TestForeignFilesStay(t *testing.T) {
	dir := t.TempDir()
	for _, name := range []string{"checkpoint-x.safetensors", "checkpoint-007.safetensors", "checkpoint--1.safetensors",
		"checkpoint-5.onnx", "checkpoint-notes.tmp", "metrics.jsonl"} {
		if err := os.WriteFile(filepath.Join(dir, name), nil, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	folder := filepath.Join(dir, "checkpoint-9.safetensors.tmp", "inside")
	if err := os.MkdirAll(folder, 0o755); err != nil {
		t.Fatal(err)
	}
	mustSave(t, dir, 1)
	mustSave(t, dir, 2)
	mustSave(t, dir, 3)
	if got := len(strings.Fields(names(t, dir))); got != 7+2 {
		t.Errorf("%d files: %s", got, names(t, dir))
	}
	if c, warnings, err := Latest(dir); err != nil || c.Position.Step != 3 || len(warnings) > 0 {
		t.Errorf("got %v %v %v", c, warnings, err)
	}
}

// A file truncated or corrupted at any byte is skipped with a warning.
func TestTornAndCorruptFilesAreSkipped(t *testing.T) {
	dir := t.TempDir()
	mustSave(t, dir, 1)
	path := mustSave(t, dir, 2)
	whole, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	check := func(what string, at int, bytes []byte) {
		if err := os.WriteFile(path, bytes, 0o644); err != nil {
			t.Fatal(err)
		}
		c, warnings, err := Latest(dir)
		if err != nil || c.Position.Step != 1 || len(warnings) != 1 || !strings.Contains(warnings[0], path) {
			t.Errorf("%s at byte %d of %d: got %v, warnings %q, error %v", what, at, len(whole), c, warnings, err)
		}
	}
	for i := range whole {
		check("cut", i, whole[:i])
		flipped := append([]byte(nil), whole...)
		flipped[i] ^= 0x80 // non-ASCII in the header; a sign or exponent bit in the data
		check("flip", i, flipped)
	}
	check("grown", len(whole), append(whole, 0))
}

// A file that cannot be opened or read may be good: it is neither skipped nor replaced.
func TestUnreadableFilesAreNotSkipped(t *testing.T) {
	for want, spoil := range map[syscall.Errno]func(path string) error{
		syscall.ELOOP:  func(path string) error { return os.Symlink(path, path) },
		syscall.EISDIR: func(path string) error { return os.Mkdir(path, 0o777) }, // opens, but cannot be read
		syscall.ENOENT: func(path string) error { return os.Symlink(path+"x", path) },
	} {
		dir := t.TempDir()
		mustSave(t, dir, 1)
		path := filepath.Join(dir, fileName(2))
		if err := spoil(path); err != nil {
			t.Fatal(err)
		}
		c, warnings, err := Latest(dir)
		if c != nil || len(warnings) > 0 || !errors.Is(err, want) || !strings.Contains(err.Error(), path) {
			t.Errorf("%v: got %v, warnings %q, error %v", want, c, warnings, err)
		}
	}
}

// After falling back to an older file, a save must become the latest.
func TestSaveBelowAHigherStep(t *testing.T) {
	dir := t.TempDir()
	mustSave(t, dir, 5)
	mustSave(t, dir, 8)
	mustSave(t, dir, 6)
	c, _, err := Latest(dir)
	if err != nil || c.Position.Step != 6 {
		t.Fatalf("got %v, %v", c, err)
	}
	if got := names(t, dir); got != "checkpoint-5.safetensors checkpoint-6.safetensors" {
		t.Errorf("left in the folder: %s", got)
	}
}

func TestNewerFormatIsRefused(t *testing.T) {
	dir := t.TempDir()
	mustSave(t, dir, 1)
	f, err := os.Create(filepath.Join(dir, fileName(2)))
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	if err := tensor.WriteSafetensors(f, nil, map[string]string{keyVersion: "7"}); err != nil {
		t.Fatal(err)
	}
	_, _, err = Latest(dir)
	var newer *VersionError
	if !errors.As(err, &newer) || !strings.Contains(err.Error(), "version 7") || !strings.Contains(err.Error(), "version 2") {
		t.Errorf("got %v", err)
	}
}

func TestSaveRefusesNonsense(t *testing.T) {
	for name, spoil := range map[string]func(*Checkpoint){
		"negative step": func(c *Checkpoint) { c.Position.Step = -1 },
		"broken config": func(c *Checkpoint) { c.Config = json.RawMessage("{") },
		"no config":     func(c *Checkpoint) { c.Config = nil },
		"NaN scale":     func(c *Checkpoint) { c.Position.LossScale = math.NaN() },
		"torn tensor":   func(c *Checkpoint) { c.Tensors["steps"].Shape = []int{2} },
	} {
		dir, c := t.TempDir(), at(1)
		spoil(c)
		if _, err := Save(dir, c); err == nil || names(t, dir) != "" {
			t.Errorf("%s: error %v, files %q", name, err, names(t, dir))
		}
	}
}

// fullDisk accepts room bytes and then fails as a disk may: immediately, or only in Sync or Close.
type fullDisk struct {
	*os.File
	room  int
	where string
}

func (f *fullDisk) Write(p []byte) (int, error) {
	if f.where == "write" && len(p) > f.room {
		n, _ := f.File.Write(p[:f.room])
		return n, syscall.ENOSPC
	}
	f.room -= len(p)
	return f.File.Write(p)
}

func (f *fullDisk) fails(where string, err error) error {
	if f.where == where {
		return syscall.ENOSPC
	}
	return err
}

func (f *fullDisk) Sync() error  { return f.fails("sync", f.File.Sync()) }
func (f *fullDisk) Close() error { return f.fails("close", f.File.Close()) }

func TestFullDiskLeavesThePreviousOne(t *testing.T) {
	info, err := os.Stat(mustSave(t, t.TempDir(), 3))
	if err != nil {
		t.Fatal(err)
	}
	size := int(info.Size())
	for _, disk := range []fullDisk{{where: "create"}, {where: "write"}, {where: "write", room: 20},
		{where: "write", room: size - 4}, {where: "sync"}, {where: "close"}} {
		dir := t.TempDir()
		mustSave(t, dir, 1)
		mustSave(t, dir, 2)
		_, err := save(dir, at(3), func(path string) (whole.File, error) {
			f, err := os.Create(path)
			return &fullDisk{f, disk.room, disk.where}, disk.fails("create", err)
		})
		if !errors.Is(err, syscall.ENOSPC) || !strings.Contains(err.Error(), fileName(3)) {
			t.Errorf("%+v: got %v", disk, err)
		}
		if got := names(t, dir); got != "checkpoint-1.safetensors checkpoint-2.safetensors" {
			t.Errorf("%+v: left in the folder: %s", disk, got)
		}
		if c, warnings, err := Latest(dir); err != nil || c.Position.Step != 2 || len(warnings) > 0 {
			t.Errorf("%+v: got %v %v %v", disk, c, warnings, err)
		}
	}
}
