package imaging

import (
	"fmt"
	"math"
)

// Recipe describes how the two random views of an image are made. The operations always run in the
// order crop, flips, quarter turns, colour jitter, greyscale, blur, solarise. Probabilities are
// 0..1 and per view; everything else applies to both views.
type Recipe struct {
	Name string `json:"name"`

	Area          [2]float64 `json:"area"`          // fraction of the image that a crop covers, uniform
	Ratio         [2]float64 `json:"ratio"`         // width to height of a crop, log-uniform
	Interpolation string     `json:"interpolation"` // of the crop: bicubic or bilinear

	Brightness float64 `json:"brightness"` // factor uniform in 1-x..1+x, not below 0
	Contrast   float64 `json:"contrast"`   // likewise
	Saturation float64 `json:"saturation"` // likewise
	Hue        float64 `json:"hue"`        // shift uniform in -x..x of the circle, at most 0.5

	Sigma     [2]float64 `json:"sigma"`     // of the blur, in pixels of the crop, uniform
	Threshold uint8      `json:"threshold"` // solarise inverts values at or above it

	Views [2]View `json:"views"`

	// Mean and Std normalise pixels in 0..1. They are meant for the graph that consumes the pixels:
	// Apply does not use them.
	Mean [3]float32 `json:"mean"`
	Std  [3]float32 `json:"std"`
}

// View holds the probability of each operation in one view.
type View struct {
	FlipH    float64 `json:"flip_h"` // left to right
	FlipV    float64 `json:"flip_v"` // top to bottom
	Rotate   float64 `json:"rotate"` // by 90, 180 or 270 degrees
	Jitter   float64 `json:"jitter"`
	Grey     float64 `json:"grey"`
	Blur     float64 `json:"blur"`
	Solarise float64 `json:"solarise"`
}

// Recipes returns copies of the predefined recipes.
//
//   - imagenet: the authors' (facebookresearch/vicreg augmentations.py).
//   - cifar: for 32-pixel images (solo-learn's): larger crops, no blur, both views alike.
//   - mild: for domain images such as medical or aerial ones, where colour carries meaning and
//     there is no up: flips both ways, little jitter, no hue, no greyscale, no solarise.
//
// None rotates: mild also serves X-rays, which are never sideways, and the views that it draws from
// a seed must not change. Where orientation means nothing, a Rotate of 0.75 makes all four
// directions equally likely.
func Recipes() []Recipe {
	base := Recipe{
		Name: "imagenet", Area: [2]float64{0.08, 1}, Ratio: [2]float64{3. / 4, 4. / 3}, Interpolation: "bicubic",
		Brightness: 0.4, Contrast: 0.4, Saturation: 0.2, Hue: 0.1, Sigma: [2]float64{0.1, 2}, Threshold: 128,
		Mean: [3]float32{0.485, 0.456, 0.406}, Std: [3]float32{0.229, 0.224, 0.225},
		Views: [2]View{
			{FlipH: 0.5, Jitter: 0.8, Grey: 0.2, Blur: 1},
			{FlipH: 0.5, Jitter: 0.8, Grey: 0.2, Blur: 0.1, Solarise: 0.2},
		},
	}
	cifar := base
	cifar.Name, cifar.Area = "cifar", [2]float64{0.2, 1}
	cifar.Views[0] = View{FlipH: 0.5, Jitter: 0.8, Grey: 0.2, Solarise: 0.1}
	cifar.Views[1] = cifar.Views[0]
	cifar.Mean, cifar.Std = [3]float32{0.4914, 0.4822, 0.4465}, [3]float32{0.2470, 0.2435, 0.2616}

	mild := base
	mild.Name, mild.Area = "mild", [2]float64{0.25, 1}
	mild.Brightness, mild.Contrast, mild.Saturation, mild.Hue = 0.2, 0.2, 0.1, 0
	mild.Sigma = [2]float64{0.1, 1}
	mild.Views[0] = View{FlipH: 0.5, FlipV: 0.5, Jitter: 0.8, Blur: 0.2}
	mild.Views[1] = mild.Views[0]
	return []Recipe{base, cifar, mild}
}

// RecipeNamed returns the recipe with the given name.
func RecipeNamed(name string) (Recipe, error) {
	known := ""
	for _, r := range Recipes() {
		if r.Name == name {
			return r, nil
		}
		known += ", " + r.Name
	}
	return Recipe{}, fmt.Errorf("unknown augmentation recipe %q (known: %s)", name, known[2:])
}

// Validate reports the first invalid field.
func (r *Recipe) Validate() error {
	inside := func(v, lo, hi float64) bool { return v >= lo && v <= hi } // false for NaN
	for _, f := range []struct {
		name       string
		v, lo, hi  float64
		openBottom bool
	}{
		{"area, lower end", r.Area[0], 0, r.Area[1], true},
		{"area, upper end", r.Area[1], r.Area[0], 1, false},
		{"ratio, lower end", r.Ratio[0], 0, r.Ratio[1], true},
		{"ratio, upper end", r.Ratio[1], r.Ratio[0], math.MaxFloat64, false},
		{"brightness", r.Brightness, 0, 10, false},
		{"contrast", r.Contrast, 0, 10, false},
		{"saturation", r.Saturation, 0, 10, false},
		{"hue", r.Hue, 0, 0.5, false},
		{"sigma, lower end", r.Sigma[0], 0, r.Sigma[1], true},
		{"sigma, upper end", r.Sigma[1], r.Sigma[0], 100, false},
	} {
		if !inside(f.v, f.lo, f.hi) || f.openBottom && f.v == f.lo && f.lo == 0 {
			return fmt.Errorf("augmentation recipe %s: %s of %v is not within %v to %v", r.Name, f.name, f.v, f.lo, f.hi)
		}
	}
	for i, v := range r.Views {
		for _, p := range []float64{v.FlipH, v.FlipV, v.Rotate, v.Jitter, v.Grey, v.Blur, v.Solarise} {
			if !inside(p, 0, 1) {
				return fmt.Errorf("augmentation recipe %s: view %d: %v is not a probability", r.Name, i+1, p)
			}
		}
	}
	for c, s := range r.Std {
		if !(s > 0) || math.IsNaN(float64(r.Mean[c])) {
			return fmt.Errorf("augmentation recipe %s: mean %v with std %v are not usable for normalisation", r.Name, r.Mean, r.Std)
		}
	}
	if _, err := ParseFilter(r.Interpolation); err != nil {
		return fmt.Errorf("augmentation recipe %s: %w", r.Name, err)
	}
	return nil
}
