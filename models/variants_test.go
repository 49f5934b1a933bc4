package models

import (
	"fmt"
	"regexp"
	"slices"
	"testing"

	"vicreg/models/graph"
	"vicreg/models/ort/orttest"
)

// shift matches parameters that a normalisation cancels: their gradient is zero up to rounding.
var shift = regexp.MustCompile(`^expander\.[03]\.bias$`)

// netConfig is a named network with a small expander.
func netConfig(t *testing.T, model, stem string, width, size, batch int) Config {
	t.Helper()
	r, err := NewResNet(model, stem, width)
	if err != nil {
		t.Fatal(err)
	}
	c := twinConfig("relu", width, 0)
	c.Backbone, c.Size, c.Batch = r, size, batch
	return c
}

// The graphs with blocked kernels and with standard operators compute the same as the portable
// graph. The bounds on gradients allow for ReLU: a rounding error may flip a sign, and one flip
// late in the network affects all gradients before it.
func TestVariantsAgree(t *testing.T) {
	small := netConfig(t, "resnet18", "cifar", 16, 16, 8)
	large := netConfig(t, "resnet50", "imagenet", 16, 64, 4)
	t.Run("standard", func(t *testing.T) {
		variant := small
		variant.Standard = true
		compareVariants(t, small, variant, 1e-5)
	})
	block := orttest.BlockSize(t)
	for _, c := range []Config{small, large} {
		t.Run(fmt.Sprintf("resnet%d/block%d", c.Backbone.Depth, block), func(t *testing.T) {
			if block == 0 {
				t.Skip("the runtime has no blocked kernels on this machine")
			}
			variant := c
			variant.Block = block
			compareVariants(t, c, variant, 1e-4)
		})
	}
}

func compareVariants(t *testing.T, portable, variant Config, bound float64) {
	a, b := trainingOf(t, portable), trainingOf(t, variant)
	checkDomains(t, b.Graph, variant)
	state, images := twinState(a), views(portable, "")
	want, got := run(t, a.Graph, state, images), run(t, b.Graph, state, images)
	e := off(got["loss"], wide(want["loss"]))
	atMost(t, "the loss", e, bound)
	var errs []float64
	for _, p := range a.Params {
		switch key := p.Name + nextSuffix; {
		case p.Statistic:
			atMost(t, p.Name, farthest(got[key], wide(want[key]), 1), 1e-4)
		case !shift.MatchString(p.Name):
			key = p.Name + gradSuffix
			errs = append(errs, off(got[key], wide(want[key])))
		}
	}
	t.Logf("loss %.1e, %d gradients: median %.1e worst %.1e", e, len(errs), median(errs), slices.Max(errs))
	atMost(t, "the worst gradient", slices.Max(errs), 1e-2)
	atMost(t, "the median gradient", median(errs), 5e-3)
}

// checkDomains checks that the graph is the requested variant.
func checkDomains(t *testing.T, g *graph.Graph, c Config) {
	t.Helper()
	m, err := g.Model()
	if err != nil {
		t.Fatal(err)
	}
	domains := map[string]bool{}
	for _, n := range m.Graph.Node {
		domains[n.Domain] = true
	}
	if domains[graph.DomainNCHWc] != (c.Block > 0) || c.Standard && len(domains) > 1 {
		t.Fatalf("operators of %v", domains)
	}
}
