package pipeline

import (
	"bytes"
	"math"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"vicreg/models"
	"vicreg/models/tensor"
	"vicreg/pipeline/checkpoint"
)

type tensors = map[string]*tensor.Tensor

// pretrained returns weights of a narrow ResNet-18 under torchvision's names, along with the other
// tensors in torchvision's file.
func pretrained(t *testing.T) (*models.Artifact, tensors) {
	t.Helper()
	c := smallConfig(t, "", 16)
	a, err := models.Step(c.graphs(0))
	if err != nil {
		t.Fatal(err)
	}
	file := tensors{"fc.weight": tensor.New(tensor.Float32, 10, 32), "fc.bias": tensor.New(tensor.Float32, 10)}
	for _, p := range a.Params {
		name, ours := strings.CutPrefix(p.Name, "backbone.")
		if !ours {
			continue
		}
		file[name] = p.InitialValue(99)
		disturb(name, file[name])
		if layer, last := strings.CutSuffix(name, ".running_mean"); last {
			file[layer+".num_batches_tracked"] = tensor.New(tensor.Int64)
		}
	}
	return a, file
}

func saveTensors(t *testing.T, name string, file tensors) string {
	t.Helper()
	var b bytes.Buffer
	if err := tensor.WriteSafetensors(&b, file, nil); err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(t.TempDir(), name)
	if err := os.WriteFile(path, b.Bytes(), 0o666); err != nil {
		t.Fatal(err)
	}
	return path
}

func TestImportTorchvisionWeights(t *testing.T) {
	for _, prefix := range []string{"", "module.", "backbone.", "module.backbone."} {
		a, file := pretrained(t)
		named := tensors{}
		for name, x := range file {
			named[prefix+name] = x
		}
		state := a.InitialState(1)
		expander := state["expander.0.weight"].Clone()
		got, err := importWeights(saveTensors(t, "weights.safetensors", named), a, state)
		if err != nil {
			t.Fatal(err)
		}
		if got.Loaded != 100 { // 20 convolutions, each with a BatchNorm of 4 tensors
			t.Errorf("%d tensors loaded, want 100", got.Loaded)
		}
		if len(got.Ignored) != 22 || got.Ignored[0] != prefix+"bn1.num_batches_tracked" || !slices.Contains(got.Ignored, prefix+"fc.bias") {
			t.Errorf("ignored %v", got.Ignored)
		}
		for name, x := range file {
			if mine := state["backbone."+name]; mine != nil && !slices.Equal(mine.Float32(), x.Float32()) {
				t.Errorf("%s is not that of the file", name)
			}
		}
		if !slices.Equal(state["expander.0.weight"].Float32(), expander.Float32()) {
			t.Error("the expander changed")
		}
	}
}

// Values that float16 or bfloat16 represents exactly are imported exactly.
func TestImportConverts(t *testing.T) {
	a, file := pretrained(t)
	file["bn1.weight"] = &tensor.Tensor{Type: tensor.Float16, Shape: []int{4}, Data: []uint16{0x3c00, 0xc001, 0x0001, 0x7bff}}
	file["bn1.bias"] = &tensor.Tensor{Type: tensor.BFloat16, Shape: []int{4}, Data: []uint16{0x3f80, 0xbf81, 0x0000, 0x4120}}
	file["bn1.running_mean"] = tensor.Of([]float64{0.1, -2, 3, 1e-3}, 4)
	state := a.InitialState(1)
	if _, err := importWeights(saveTensors(t, "weights.safetensors", file), a, state); err != nil {
		t.Fatal(err)
	}
	for name, want := range map[string][]float32{
		"weight":       {1, -2.001953125, float32(math.Ldexp(1, -24)), 65504},
		"bias":         {1, -1.0078125, 0, 10},
		"running_mean": {0.1, -2, 3, 1e-3},
	} {
		if got := state["backbone.bn1."+name].Float32(); !slices.Equal(got, want) {
			t.Errorf("bn1.%s is %v, want %v", name, got, want)
		}
	}
}

func TestImportFromACheckpoint(t *testing.T) {
	c := smallConfig(t, "", 16)
	dir := madeRun(t, c, nil)
	files, err := checkpoint.Files(dir)
	if err != nil || len(files) != 1 {
		t.Fatal(files, err)
	}
	saved, err := checkpoint.Load(files[0])
	if err != nil {
		t.Fatal(err)
	}
	a, _ := pretrained(t)
	state := a.InitialState(1)
	momentum := state["backbone.conv1.weight.momentum"].Clone()
	got, err := importWeights(files[0], a, state)
	if err != nil || got.Loaded != 100 {
		t.Fatal(got, err)
	}
	for _, name := range []string{"backbone.conv1.weight", "backbone.layer4.1.bn2.running_var"} {
		if !slices.Equal(state[name].Float32(), saved.Tensors[name].Float32()) {
			t.Errorf("%s is not that of the checkpoint", name)
		}
	}
	if !slices.Equal(state["backbone.conv1.weight.momentum"].Float32(), momentum.Float32()) {
		t.Error("the momentum came along")
	}
}

func TestImportRefuses(t *testing.T) {
	for _, c := range []struct {
		what   string
		change func(tensors)
		want   string
	}{
		{"absent", func(f tensors) { delete(f, "layer2.0.downsample.0.weight") }, "it contains no tensor layer2.0.downsample.0.weight[8 4 1 1]"},
		{"other stem", func(f tensors) { f["conv1.weight"] = tensor.New(tensor.Float32, 4, 3, 7, 7) },
			"conv1.weight has shape [4 3 7 7], this model wants [4 3 3 3]: it is of another --model, --stem or --width"},
		{"deeper model", func(f tensors) { f["layer1.2.conv1.weight"] = f["layer1.1.conv1.weight"] },
			"it contains layer1.2.conv1.weight, which this model does not have"},
		{"twice", func(f tensors) { f["module.bn1.bias"] = f["bn1.bias"] }, "it contains bn1.bias twice, once as module.bn1.bias"},
		{"integers", func(f tensors) { f["bn1.bias"] = tensor.New(tensor.Int32, 4) }, "bn1.bias: element type int32 is not supported for weights"},
		{"not finite", func(f tensors) { f["bn1.bias"].Float32()[2] = float32(math.NaN()) }, "bn1.bias: impossible value NaN at index 2"},
		{"half infinite", func(f tensors) {
			f["bn1.bias"] = &tensor.Tensor{Type: tensor.Float16, Shape: []int{4}, Data: []uint16{0, 0x7c00, 0, 0}}
		}, "bn1.bias: impossible value +Inf at index 1"},
		{"negative variance", func(f tensors) { f["bn1.running_var"].Float32()[0] = -1 }, "bn1.running_var: impossible value -1 at index 0"},
	} {
		a, file := pretrained(t)
		c.change(file)
		path := saveTensors(t, "weights.safetensors", file)
		state, untouched := a.InitialState(1), a.InitialState(1)
		_, err := importWeights(path, a, state)
		if err == nil || !strings.Contains(err.Error(), "take weights from "+path+": ") || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: %v, want %q", c.what, err, c.want)
		}
		for name := range state {
			if !slices.Equal(state[name].Float32(), untouched[name].Float32()) {
				t.Errorf("%s: %s was changed all the same", c.what, name)
			}
		}
	}
	a, _ := pretrained(t)
	pth := filepath.Join(t.TempDir(), "resnet18.pth")
	if err := os.WriteFile(pth, []byte("PK\x03\x04 and so on, for a while"), 0o666); err != nil {
		t.Fatal(err)
	}
	if _, err := importWeights(pth, a, a.InitialState(1)); err == nil || !strings.Contains(err.Error(), "files to safetensors first") {
		t.Errorf("PyTorch file: %v", err)
	}
}
