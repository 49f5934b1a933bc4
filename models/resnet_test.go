package models

import (
	"strings"
	"testing"

	"vicreg/models/tensor"
)

// The number and names of parameters are torchvision's without fc: 60 tensors for ResNet-18, 108
// for ResNet-34, 159 for ResNet-50.
func TestBackboneParameters(t *testing.T) {
	for model, want := range map[string]struct {
		tensors, dim, weights int
		last                  string
	}{
		"resnet18": {60, 512, 11_176_512, "backbone.layer4.1.bn2.weight"},
		"resnet34": {108, 512, 21_284_672, "backbone.layer4.2.bn2.weight"},
		"resnet50": {159, 2048, 23_508_032, "backbone.layer4.2.bn3.weight"},
	} {
		c := netConfig(t, model, "imagenet", 64, 64, 2)
		a := trainingOf(t, c)
		tensors, weights, statistics := 0, 0, 0
		last := float32(-1)
		for _, p := range a.Params {
			switch {
			case !strings.HasPrefix(p.Name, "backbone."):
			case p.Statistic:
				statistics++
			default:
				tensors, weights = tensors+1, weights+tensor.Elements(p.Shape)
			}
			if p.Name == want.last {
				last = p.InitialValue(1).Float32()[0]
			}
		}
		convolutions := tensors - statistics // a norm has two parameters and two statistics
		if tensors != want.tensors || weights != want.weights || c.Backbone.Dim() != want.dim || statistics != 2*convolutions {
			t.Errorf("%s: %d tensors of %d weights, %d statistics, D %d", model, tensors, weights, statistics, c.Backbone.Dim())
		}
		if last != 0 {
			t.Errorf("%s: %s does not start at 0", model, want.last)
		}
	}
}

func TestUnknownNetworks(t *testing.T) {
	for _, c := range []struct {
		model, stem string
		width       int
		want        string
	}{
		{"resnet19", "cifar", 64, `unknown model "resnet19": want one of resnet18, resnet34, resnet50`},
		{"resnet18", "mnist", 64, `unknown stem "mnist": want imagenet or cifar`},
		{"resnet18", "cifar", 0, "width 0: want at least 1 channel"},
	} {
		if _, err := NewResNet(c.model, c.stem, c.width); err == nil || err.Error() != c.want {
			t.Errorf("got %v, want %s", err, c.want)
		}
	}
	both := twinConfig("relu", 16, 16)
	both.Standard = true
	if _, err := Training(both); err == nil || !strings.Contains(err.Error(), "blocks of 16 channels are no standard operators") {
		t.Errorf("blocks in a standard graph: %v", err)
	}
}
