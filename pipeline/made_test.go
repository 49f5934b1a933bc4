package pipeline

import (
	"encoding/json"
	"fmt"
	"image"
	"image/color"
	"image/jpeg"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"vicreg/models"
	"vicreg/models/optim"
	"vicreg/models/tensor"
	"vicreg/pipeline/checkpoint"
	"vicreg/pipeline/dataset"
	"vicreg/pipeline/imaging"
)

// drawKinds fills a folder with noisy pictures of plain colours, one sub-folder per colour. Any
// network tells them apart.
func drawKinds(t *testing.T, perKind int, seed uint64) string {
	t.Helper()
	dir, r := t.TempDir(), rand.New(rand.NewPCG(seed, 0))
	for name, c := range map[string][3]int{"red": {200, 40, 40}, "green": {40, 180, 40}, "blue": {40, 40, 220}} {
		for i := range perKind {
			m := image.NewRGBA(image.Rect(0, 0, 30, 24))
			for y := range 24 {
				for x := range 30 {
					m.Set(x, y, color.RGBA{uint8(c[0] + r.IntN(36)), uint8(c[1] + r.IntN(36)), uint8(c[2] + r.IntN(36)), 255})
				}
			}
			saveJPEG(t, filepath.Join(dir, name, fmt.Sprintf("%03d.jpg", i)), m)
		}
	}
	return dir
}

func saveJPEG(t *testing.T, path string, m image.Image) {
	t.Helper()
	if err := os.MkdirAll(filepath.Dir(path), 0o777); err != nil {
		t.Fatal(err)
	}
	f, err := os.Create(path)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	if err := jpeg.Encode(f, m, nil); err != nil {
		t.Fatal(err)
	}
}

// photos returns the folder of real photographs, or one of drawn pictures if that is missing.
func photos(t *testing.T) string {
	t.Helper()
	root := os.Getenv("VICREG_TEST_DATA")
	if root == "" {
		root = filepath.Join("..", "..", "shared", "data")
	}
	dir, err := filepath.Abs(filepath.Join(root, "photos"))
	if _, missing := os.Stat(dir); err == nil && missing == nil {
		return dir
	}
	t.Logf("no %s: drawn pictures instead of photographs", dir)
	return drawKinds(t, 12, 1)
}

// smallConfig returns the settings of a run with a narrow network.
func smallConfig(t *testing.T, data string, size int) Config {
	t.Helper()
	recipe, err := imaging.RecipeNamed("cifar")
	if err != nil {
		t.Fatal(err)
	}
	optimizer, err := optim.Default("lars")
	if err != nil {
		t.Fatal(err)
	}
	return Config{Data: data, Holdout: 0.1, Seed: 3, Model: "resnet18", Stem: "cifar", Width: 4, Size: size,
		Expander: []int{16, 16}, Recipe: recipe, Loss: models.Loss{Invariance: 25, Variance: 25, Covariance: 1},
		Batch: 4, Epochs: 5, Optimizer: optimizer}
}

// madeRun returns the folder of a run that ended after 12 steps, its weights as far from their
// initial values as training would move them. change may modify them.
func madeRun(t *testing.T, c Config, change func(map[string]*tensor.Tensor)) string {
	t.Helper()
	if all, err := dataset.Index(c.Data); err == nil { // some tests need a run whose images are gone
		train, _, _ := c.split(all)
		c.Images, c.DataSet = train.Len(), train.Fingerprint()
	}
	a, err := models.Step(c.graphs(0))
	if err != nil {
		t.Fatal(err)
	}
	state := a.InitialState(c.Seed)
	for _, p := range a.Params {
		disturb(p.Name, state[p.Name])
	}
	if change != nil {
		change(state)
	}
	config, err := json.Marshal(c)
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	point := &checkpoint.Checkpoint{Config: config, Tensors: state,
		Position: checkpoint.Position{Epoch: 2, Step: 12, Seed: c.Seed, LossScale: 1}}
	if _, err := checkpoint.Save(dir, point); err != nil {
		t.Fatal(err)
	}
	return dir
}

// disturb gives running statistics, scales and shifts of normalisation layers values other than 0
// and 1.
func disturb(name string, x *tensor.Tensor) {
	r := rand.New(rand.NewPCG(7, uint64(len(name))))
	lo, hi := float32(-0.4), float32(0.4)
	switch {
	case len(x.Shape) > 1:
		return
	case strings.HasSuffix(name, ".running_var"), strings.HasSuffix(name, ".weight"):
		lo, hi = 0.5, 1.5
	}
	for i := range x.Float32() {
		x.Float32()[i] = lo + (hi-lo)*r.Float32()
	}
}
