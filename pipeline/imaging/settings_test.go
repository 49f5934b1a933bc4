package imaging

import (
	"encoding/json"
	"reflect"
	"strings"
	"testing"
)

func TestSet(t *testing.T) {
	base := Recipes()[0]
	for _, c := range []struct {
		set  string
		want func(r *Recipe)
	}{
		{"hue=0", func(r *Recipe) { r.Hue = 0 }},
		{"area=0.5:0.9,ratio=1:1", func(r *Recipe) { r.Area, r.Ratio = [2]float64{0.5, 0.9}, [2]float64{1, 1} }},
		{"interpolation=bilinear", func(r *Recipe) { r.Interpolation = "bilinear" }},
		{"flip_h=0, flip_v=0.25:0.75", func(r *Recipe) {
			r.Views[0].FlipH, r.Views[1].FlipH, r.Views[0].FlipV, r.Views[1].FlipV = 0, 0, 0.25, 0.75
		}},
		{"brightness=0.1,contrast=0.2,saturation=0.3", func(r *Recipe) { r.Brightness, r.Contrast, r.Saturation = 0.1, 0.2, 0.3 }},
		{"jitter=0:1,grey=1:0,blur=0.5,sigma=1:3", func(r *Recipe) {
			r.Views[0].Jitter, r.Views[1].Jitter, r.Views[0].Grey, r.Views[1].Grey = 0, 1, 1, 0
			r.Views[0].Blur, r.Views[1].Blur, r.Sigma = 0.5, 0.5, [2]float64{1, 3}
		}},
		{"rotate=0.75:0.5", func(r *Recipe) { r.Views[0].Rotate, r.Views[1].Rotate = 0.75, 0.5 }},
		{"solarise=0,threshold=200", func(r *Recipe) { r.Views[1].Solarise, r.Threshold = 0, 200 }},
		{"mean=0.5:0.25:0.125,std=1:2:3", func(r *Recipe) { r.Mean, r.Std = [3]float32{0.5, 0.25, 0.125}, [3]float32{1, 2, 3} }},
	} {
		got, want := base, base
		c.want(&want)
		if err := got.Set(c.set); err != nil || !reflect.DeepEqual(got, want) {
			t.Errorf("%s: got %+v, %v, want %+v", c.set, got, err, want)
		}
	}
}

func TestSetRefuses(t *testing.T) {
	for set, want := range map[string]string{
		"":                    "unknown augmentation setting",
		"colour=1":            "known: area, ratio",
		"hue":                 "is not a number",
		"hue=x":               `"x" is not a number`,
		"hue=0.1:0.2":         "want one number",
		"hue=0.7":             "hue of 0.7 is not within",
		"area=0.5":            "want 2 numbers",
		"area=0.9:0.5":        "area",
		"flip_h=1.5":          "not a probability",
		"flip_h=0:0:0":        "want 2 numbers",
		"threshold=256":       "0 to 255",
		"std=0:1:1":           "not usable for normalisation",
		"interpolation=cubic": "cubic",
		"hue=0,blur=NaN":      "not a probability",
	} {
		r := Recipes()[0]
		if err := r.Set(set); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%q: got %v, want %q in it", set, err, want)
		}
		if !reflect.DeepEqual(r, Recipes()[0]) {
			t.Errorf("%q: changed the recipe", set)
		}
	}
}

// Every field of a recipe can be set by its JSON name.
func TestEveryFieldCanBeSet(t *testing.T) {
	names := map[string]bool{}
	for _, s := range settings() {
		names[s.name] = true
	}
	for _, v := range []any{Recipe{}, View{}} {
		text, err := json.Marshal(v)
		if err != nil {
			t.Fatal(err)
		}
		fields := map[string]any{}
		if err := json.Unmarshal(text, &fields); err != nil {
			t.Fatal(err)
		}
		for name := range fields {
			if name != "name" && name != "views" && !names[name] {
				t.Errorf("%s cannot be set", name)
			}
		}
	}
}
