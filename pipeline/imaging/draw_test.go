package imaging

import (
	"encoding/json"
	"math"
	"testing"
)

func TestRecipesAreValid(t *testing.T) {
	for _, r := range Recipes() {
		if err := r.Validate(); err != nil {
			t.Error(err)
		}
		if n, err := RecipeNamed(r.Name); err != nil || n != r {
			t.Errorf("recipe %s cannot be found by its name: %v", r.Name, err)
		}
	}
	if _, err := RecipeNamed("nope"); err == nil {
		t.Error("an unknown recipe was found")
	}
}

func TestValidateFindsNonsense(t *testing.T) {
	for name, spoil := range map[string]func(r *Recipe){
		"area 0":        func(r *Recipe) { r.Area[0] = 0 },
		"area over 1":   func(r *Recipe) { r.Area[1] = 1.1 },
		"area turned":   func(r *Recipe) { r.Area = [2]float64{0.9, 0.5} },
		"ratio":         func(r *Recipe) { r.Ratio[0] = -1 },
		"brightness":    func(r *Recipe) { r.Brightness = math.NaN() },
		"hue":           func(r *Recipe) { r.Hue = 0.6 },
		"sigma":         func(r *Recipe) { r.Sigma[0] = 0 },
		"probability":   func(r *Recipe) { r.Views[1].Blur = 1.5 },
		"turn":          func(r *Recipe) { r.Views[0].Rotate = -0.5 },
		"std":           func(r *Recipe) { r.Std[2] = 0 },
		"interpolation": func(r *Recipe) { r.Interpolation = "nearest" },
	} {
		r := Recipes()[0]
		spoil(&r)
		if r.Validate() == nil {
			t.Errorf("%s: accepted", name)
		}
	}
}

func TestDrawDependsOnItsArgumentsOnly(t *testing.T) {
	r := Recipes()[0]
	p := r.Draw(1, 2, "a/b.jpg", 0)
	if p != r.Draw(1, 2, "a/b.jpg", 0) {
		t.Error("two draws with equal arguments differ")
	}
	for name, q := range map[string]Params{
		"seed": r.Draw(2, 2, "a/b.jpg", 0), "epoch": r.Draw(1, 3, "a/b.jpg", 0),
		"key": r.Draw(1, 2, "a/c.jpg", 0), "view": r.Draw(1, 2, "a/b.jpg", 1),
	} {
		if p.Tries == q.Tries {
			t.Errorf("another %s gives the same draw", name)
		}
	}
	r.Hue, r.Views[0].Grey = 0, 1
	if q := r.Draw(1, 2, "a/b.jpg", 0); q.Tries != p.Tries || q.Brightness != p.Brightness || q.Sigma != p.Sigma {
		t.Error("a change of one field of the recipe moved the other draws")
	}
}

// TestDrawPinned keeps old runs resumable: draws must never change between versions.
func TestDrawPinned(t *testing.T) {
	r := Recipes()[0]
	p := r.Draw(7, 3, "cat/0001.jpg", 1)
	got := [3]float64{p.Tries[0][0], p.Brightness, p.Hue}
	if want := [3]float64{0.9877634711361627, 0.8379926639006727, -0.021075169659417914}; got != want {
		t.Errorf("draw is %v, was %v", got, want)
	}
}

// TestDrawFrequencies compares 4,000 draws with the recipe; the bounds are five
// standard deviations.
func TestDrawFrequencies(t *testing.T) {
	const n = 4000
	r := Recipes()[0]
	var flip, jitter, grey, blur, solarise, area, first float64
	one := func(b bool) float64 {
		if b {
			return 1
		}
		return 0
	}
	for i := range n {
		p := r.Draw(1, i, "x", 1)
		flip += one(p.FlipH)
		jitter += one(p.Jitter != [4]Op{})
		grey += one(p.Grey)
		blur += one(p.Sigma > 0)
		solarise += one(p.Solarise)
		area += p.Tries[0][0]
		first += one(p.Jitter[0] == Hue)
	}
	for _, c := range []struct {
		name      string
		got, want float64
	}{
		{"flip", flip, 0.5}, {"jitter", jitter, 0.8}, {"grey", grey, 0.2}, {"blur", blur, 0.1},
		{"solarise", solarise, 0.2}, {"area", area, 0.5}, {"hue first", first, 0.8 / 4},
	} {
		if d := math.Abs(c.got/n - c.want); d > 5*math.Sqrt(c.want*(1-c.want)/n) {
			t.Errorf("%s: share of %.3f, want %.3f", c.name, c.got/n, c.want)
		}
	}
}

// A recipe that rotates draws everything else like one that does not, and chooses each direction
// equally often, independently per view; a recipe stored by an older version does not rotate.
func TestRotateAddsToTheDraw(t *testing.T) {
	const n = 4000
	for _, plain := range Recipes() {
		r := plain
		if err := r.Set("rotate=0.75"); err != nil {
			t.Fatal(err)
		}
		var turns [2][4]float64
		both := 0.0
		for i := range n {
			var p [2]Params
			for view := range 2 {
				p[view] = r.Draw(1, i, "x", view)
				turns[view][p[view].Turns]++
				q := p[view]
				if q.Turns = 0; q != plain.Draw(1, i, "x", view) {
					t.Fatalf("%s, draw %d, view %d: rotating moved another draw", r.Name, i, view)
				}
			}
			if p[0].Turns == p[1].Turns {
				both++
			}
		}
		for _, got := range append(append(turns[0][:], turns[1][:]...), both) {
			if d := math.Abs(got/n - 0.25); d > 5*math.Sqrt(0.25*0.75/n) {
				t.Errorf("%s: turns %v and %v, the same in both views %v times of %d", r.Name, turns[0], turns[1], both, n)
			}
		}
	}
	old := Recipe{}
	if err := json.Unmarshal([]byte(`{"name":"mild","views":[{"flip_h":0.5},{"flip_h":0.5}]}`), &old); err != nil || old.Views[0].Rotate != 0 {
		t.Errorf("an older recipe rotates: %+v, %v", old, err)
	}
}

func TestCropStaysInside(t *testing.T) {
	r := Recipes()[0]
	for _, size := range [][2]int{{1, 1}, {2, 1}, {1, 900}, {900, 1}, {500, 375}, {17, 16}} {
		for i := range 200 {
			p := r.Draw(3, i, "x", 0)
			x, y, w, h := p.Crop(size[0], size[1])
			if x < 0 || y < 0 || w < 1 || h < 1 || x+w > size[0] || y+h > size[1] {
				t.Fatalf("crop %dx%d at %d,%d of %v", w, h, x, y, size)
			}
		}
	}
}
