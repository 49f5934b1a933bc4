package optim

import (
	"math"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"vicreg/models/graph/reference"
	"vicreg/models/tensor"
)

// The gradient over all variables has norm 13.01 after division by the loss scale: clipped to 1,
// it is divided by that, while the decay is unaffected.
func TestClipNormByHand(t *testing.T) {
	norm := math.Sqrt(169.25)
	f := 1 / (norm + 1e-6)
	out := stepOnce(t, Config{Name: "sgd", Momentum: 0.9, WeightDecay: 0.1, ClipNorm: 1}, both,
		inputs(map[string][]float64{"w.momentum": {1, 2}, "b.momentum": {-1}}))
	m := []float64{0.9 + 5*f + 0.3, 1.8 + 12*f - 0.4, -0.9 + 0.5*f + 0.2}
	expect(t, out, map[string][]float64{
		"new/w.momentum": m[:2], "new/w": {3 - 0.5*m[0], -4 - 0.5*m[1]},
		"new/b.momentum": m[2:], "new/b": {2 - 0.5*m[2]},
		"grad_norm": {norm}, "finite": {1},
	})
}

// norm returns the norm over all gradients among the inputs of a step.
func norm(in map[string][]float64) (norm float64) {
	for name, values := range in {
		if strings.HasSuffix(name, ".grad") {
			for _, x := range values {
				norm = math.Hypot(norm, x/in["loss_scale"][0])
			}
		}
	}
	return norm
}

// shortened returns the inputs with the gradients multiplied by f.
func shortened(in map[string][]float64, f float64) map[string][]float64 {
	out := map[string][]float64{}
	for name, values := range in {
		out[name] = slices.Clone(values)
		if strings.HasSuffix(name, ".grad") {
			for i := range values {
				out[name][i] *= f
			}
		}
	}
	return out
}

// A step that clips equals one whose gradients were clipped by torch.nn.utils.clip_grad_norm_
// beforehand, in each kind of graph; if the gradient is short enough it is bit-identical to a
// step without clipping.
func TestClipNormIsAStepOnShorterGradients(t *testing.T) {
	for _, c := range []Config{
		{Name: "sgd", Momentum: 0.9, WeightDecay: 0.1}, {Name: "sgd"},
		{Name: "lars", Momentum: 0.9, WeightDecay: 0.1, Trust: 0.02}, {Name: "lars", Momentum: 0.9, WeightDecay: 0.1, Trust: 0.02, Clip: true},
		{Name: "adamw", Beta1: 0.9, Beta2: 0.999, Eps: 1e-8, WeightDecay: 0.1},
	} {
		for _, kind := range []struct {
			device tensor.Device
			custom bool
		}{{tensor.Host, false}, {tensor.CUDA, false}, {tensor.CUDA, true}} {
			plain, rng := stepGraph(t, c, kind.device, kind.custom), rand.New(rand.NewPCG(1, 2))
			in := map[string][]float64{}
			for _, v := range plain.Inputs {
				for range v.Elements() {
					in[v.Name] = append(in[v.Name], float64(rng.Float32()))
				}
			}
			in["loss_scale"] = []float64{1024}
			is := norm(in)
			for _, share := range []float64{0.25, 4} {
				clipping := c
				clipping.ClipNorm = float64(float32(share * is))
				got, err := reference.Run(stepGraph(t, clipping, kind.device, kind.custom), in)
				if err != nil {
					t.Fatal(err)
				}
				want, err := reference.Run(plain, shortened(in, min(1, clipping.ClipNorm/(is+1e-6))))
				if err != nil {
					t.Fatal(err)
				}
				want["grad_norm"] = []float64{is}
				for key, w := range want {
					if share > 1 && key != "grad_norm" && !slices.Equal(got[key], w) {
						t.Errorf("%+v, %+v: %s is clipped within the bound", c, kind, key)
					}
					expect(t, got, map[string][]float64{key: w})
				}
			}
		}
	}
}

// Clipping does not make non-finite gradients finite.
func TestClippedIsNotFinite(t *testing.T) {
	for _, bad := range []float64{math.NaN(), math.Inf(1)} {
		in := inputs(map[string][]float64{"w.momentum": {0, 0}, "b.momentum": {0}, "b.grad": {bad}})
		if out := stepOnce(t, Config{Name: "sgd", Momentum: 0.9, ClipNorm: 1}, both, in); out["finite"][0] != 0 {
			t.Errorf("%v: finite is %v", bad, out["finite"])
		}
	}
}
