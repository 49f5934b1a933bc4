// Package models defines the backbones, the VICReg loss and the graphs that train them.
package models

import (
	"fmt"
	"slices"
	"strings"

	"vicreg/models/grad"
	"vicreg/models/graph"
	"vicreg/models/nn"
)

// ResNet describes a residual network as torchvision builds it (v1.5: the
// stride sits on the 3x3 convolution), without its classifier.
// Source: He et al., 2016; torchvision/models/resnet.py for the names.
type ResNet struct {
	Depth      int           // 18, 34 or 50
	Stem       string        // "imagenet" (7x7 stride 2, max-pool) or "cifar" (3x3)
	Width      int           // channels of the first stage; 64 in the paper
	Activation nn.Activation // "relu"; tests also use others
}

// resnets maps a depth to its blocks per stage; depth 50 and above use bottlenecks.
var resnets = map[int][]int{18: {2, 2, 2, 2}, 34: {3, 4, 6, 3}, 50: {3, 4, 6, 3}}

// NewResNet returns the description of a named model: "resnet18", "resnet34"
// or "resnet50".
func NewResNet(name, stem string, width int) (ResNet, error) {
	r := ResNet{Stem: stem, Width: width, Activation: "relu"}
	for depth := range resnets {
		if name == fmt.Sprintf("resnet%d", depth) {
			r.Depth = depth
		}
	}
	switch {
	case r.Depth == 0:
		return r, fmt.Errorf("unknown model %q: want one of %s", name, strings.Join(ModelNames(), ", "))
	case stem != "imagenet" && stem != "cifar":
		return r, fmt.Errorf("unknown stem %q: want imagenet or cifar", stem)
	case width < 1:
		return r, fmt.Errorf("width %d: want at least 1 channel", width)
	}
	return r, nil
}

// ModelNames lists the names that NewResNet accepts.
func ModelNames() []string {
	var names []string
	for depth := range resnets {
		names = append(names, fmt.Sprintf("resnet%d", depth))
	}
	slices.Sort(names)
	return names
}

// Dim is D, the width of the representation.
func (r ResNet) Dim() int { return 8 * r.Width * r.expansion() }

func (r ResNet) expansion() int {
	if r.Depth >= 50 {
		return 4
	}
	return 1
}

// largest bounds the number of elements of the largest activation for one image of side size: the
// output of the first stage or, with the imagenet stem, that of the stem, which is at least as
// large.
func (r ResNet) largest(size int) int {
	if r.Stem == "imagenet" {
		size = (size + 1) / 2
		return size * size * r.Width
	}
	return size * size * r.Width * r.expansion()
}

// Forward maps normalised pixels [N, 3, H, W] to representations [N, D].
func (r ResNet) Forward(s *nn.Scope, x *graph.Value) *graph.Value {
	x = r.stem(s, x)
	for i, blocks := range resnets[r.Depth] {
		stage, width := s.Sub(fmt.Sprintf("layer%d", i+1)), r.Width<<i
		for b := range blocks {
			stride := 1
			if i > 0 && b == 0 {
				stride = 2
			}
			x = r.block(stage.Sub(fmt.Sprint(b)), x, width, stride) // [N, width*expansion, H/2^i, W/2^i]
		}
	}
	if s.Mode == nn.Train {
		return grad.GlobalAveragePool(s.G, x)
	}
	return s.G.ReduceMean(x, false, 2, 3) // [N, D]
}

func (r ResNet) stem(s *nn.Scope, x *graph.Value) *graph.Value {
	norm := nn.Norm{Activation: r.Activation}
	if r.Stem == "cifar" {
		return nn.ConvNorm(s, x, "conv1", "bn1", r.Width, graph.Square(3, 1, 1), norm) // [N, width, H, W]
	}
	x = nn.ConvNorm(s, x, "conv1", "bn1", r.Width, graph.Square(7, 2, 3), norm) // [N, width, H/2, W/2]
	pool := graph.Square(3, 2, 1)
	if s.Mode == nn.Train {
		return grad.MaxPool(s.G, x, pool) // [N, width, H/4, W/4]
	}
	y, _ := s.G.MaxPool(x, pool)
	return y
}

// block is a basic or bottleneck residual block.
func (r ResNet) block(s *nn.Scope, x *graph.Value, width, stride int) *graph.Value {
	act, out := nn.Norm{Activation: r.Activation}, width*r.expansion()
	last := nn.Norm{ZeroInit: true, Residual: x, Activation: r.Activation}
	if stride != 1 || x.Shape[1] != out {
		last.Residual = nn.ConvNorm(s, x, "downsample.0", "downsample.1", out, graph.Square(1, stride, 0), nn.Norm{})
	}
	if r.expansion() == 1 {
		x = nn.ConvNorm(s, x, "conv1", "bn1", width, graph.Square(3, stride, 1), act)
		return nn.ConvNorm(s, x, "conv2", "bn2", out, graph.Square(3, 1, 1), last)
	}
	x = nn.ConvNorm(s, x, "conv1", "bn1", width, graph.Square(1, 1, 0), act)
	x = nn.ConvNorm(s, x, "conv2", "bn2", width, graph.Square(3, stride, 1), act)
	return nn.ConvNorm(s, x, "conv3", "bn3", out, graph.Square(1, 1, 0), last)
}
