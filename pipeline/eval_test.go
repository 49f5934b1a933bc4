package pipeline

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"math"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"vicreg/models/onnx"
	"vicreg/models/ort/orttest"
	"vicreg/pipeline/bulk"
	"vicreg/pipeline/encoder"
	"vicreg/pipeline/stats"
	"vicreg/pipeline/usage"
)

// someModel exports an untrained network.
func someModel(t *testing.T, data string) string {
	t.Helper()
	run := madeRun(t, smallConfig(t, data, 16), nil)
	exported(t, run)
	return filepath.Join(run, "backbone.onnx")
}

func evaluated(t *testing.T, args ...string) string {
	t.Helper()
	var out bytes.Buffer
	if err := Eval(t.Context(), append(args, "--onnxruntime", orttest.Open(t).Path()), &out, io.Discard); err != nil {
		t.Fatal(err)
	}
	return out.String()
}

// parsed is the output of --json; undefined figures are nil.
type parsed struct {
	Images, Dim int
	RankMe      *float64
	Spread      float64
	Std         float64 `json:"normalized_std"`
	Kinds       *struct {
		Count, Images, Reference, K int
		KNN                         float64  `json:"knn"`
		Centered                    float64  `json:"knn_centered"`
		Raw                         float64  `json:"knn_raw"`
		Chance                      float64  `json:"chance"`
		Within                      *float64 `json:"cosine_within"`
		Between                     *float64 `json:"cosine_between"`
		At                          []struct {
			K       int
			Vectors struct {
				Right    float64 `json:"accuracy"`
				Balanced float64 `json:"balanced_accuracy"`
			}
		} `json:"knn_at"`
		Retrieval struct {
			Images  int
			Recall1 *float64 `json:"recall_at_1"`
			MAP     *float64 `json:"map_at_r"`
			Chance  struct {
				Recall1 *float64 `json:"recall_at_1"`
				MAP     *float64 `json:"map_at_r"`
			}
		}
		Linear *struct {
			Form, Protocol string
			Unseen         int
			Vectors, Raw   struct {
				Right    float64 `json:"accuracy"`
				Low      float64 `json:"accuracy_low"`
				High     float64 `json:"accuracy_high"`
				Balanced float64 `json:"balanced_accuracy"`
				L2       []float64
			}
		}
	}
}

func parse(t *testing.T, text string) (p parsed) {
	t.Helper()
	if err := json.Unmarshal([]byte(text), &p); err != nil {
		t.Fatalf("%v in\n%s", err, text)
	}
	return p
}

// Any network tells plain colours apart, and so do their pixels.
func TestEvalTellsColoursApart(t *testing.T) {
	data, reference := drawKinds(t, 6, 1), drawKinds(t, 10, 2)
	model := someModel(t, reference)
	for _, c := range []struct {
		args        []string
		reference   int
		protocol    string
		classifiers int
		chance      float64 // that the nearest neighbour is of the same kind
	}{
		{nil, 18, "5-fold cross-validation", 5, 5. / 17},
		{[]string{"--reference", reference}, 30, "reference", 1, 1. / 3},
	} {
		args := append([]string{"--model", model, "--data", data, "--k", "5", "--json"}, c.args...)
		p := parse(t, evaluated(t, args...))
		k := p.Kinds
		if k == nil || p.Images != 18 || p.Dim != 32 || k.Count != 3 || k.Images != 18 || k.Reference != c.reference || k.K != 5 {
			t.Fatalf("%v: %+v, %+v", c.args, p, k)
		}
		if k.KNN != 1 || k.Centered != 1 || k.Raw != 1 || math.Abs(k.Chance-1./3) > 1e-9 {
			t.Errorf("%v: %+v", c.args, k)
		}
		if l := k.Linear; l == nil || l.Vectors.Right != 1 || l.Vectors.Balanced != 1 || l.Raw.Right != 1 || l.Vectors.High != 1 || l.Vectors.Low < 0.8 || l.Vectors.Low > 0.85 ||
			l.Protocol != c.protocol || l.Unseen != 0 || len(l.Raw.L2) != c.classifiers {
			t.Errorf("%v: linear probe %+v", c.args, l)
		}
		if r := k.Retrieval; r.Images != 18 || *r.Recall1 != 1 || *r.MAP != 1 || math.Abs(*r.Chance.Recall1-c.chance) > 1e-9 || *r.Chance.MAP >= *r.Chance.Recall1 {
			t.Errorf("%v: retrieval %+v", c.args, r)
		}
		if *k.Within < 0.9 || *k.Between > 0.2 {
			t.Errorf("%v: cosines %v within, %v between", c.args, *k.Within, *k.Between)
		}
	}
	out := evaluated(t, "--model", model, "--data", data, "-k", "5")
	for _, want := range []string{
		"                      vectors  raw pixels      chance\n",
		"\nlinear probe         100.00 %    100.00 %     33.33 %   95 % interval 82.41 to 100.00 %\n  mean per class     100.00 %    100.00 %     33.33 %   5-fold cross-validation\n",
		"\nknn k=5              100.00 %    100.00 %     33.33 %   temperature 0.07\n  centred            100.00 %    100.00 %\n",
		"\nrecall@1             100.00 %                 29.41 %   centred, as in the rows below\n",
		"\nmAP@R                100.00 %                 ",
	} {
		if !strings.Contains(out, want) {
			t.Errorf("no %q in\n%s", want, out)
		}
	}
}

// A file that is not a model, or is damaged, is wrong input; weights that are NaN must not produce
// figures.
func TestEvalRefusesBadModels(t *testing.T) {
	data := drawKinds(t, 4, 1)
	whole := read(t, someModel(t, data))
	model, err := onnx.Unmarshal(whole)
	if err != nil {
		t.Fatal(err)
	}
	for i := range model.Graph.Initializer[0].RawData {
		model.Graph.Initializer[0].RawData[i] = 0xff // a NaN
	}
	astray, err := encoder.Marshal(model)
	if err != nil {
		t.Fatal(err)
	}
	flipped := bytes.Clone(whole)
	flipped[len(whole)/2] ^= 1
	for _, c := range []struct {
		file  []byte
		want  string
		usage bool
	}{
		{nil, "no such file", true},
		{whole[:2000], "the file is damaged or truncated", true},
		{[]byte("text"), "not an ONNX model", true},
		{flipped, "the file is damaged or truncated", true},
		{astray, "vectors are not finite", false},
	} {
		path := filepath.Join(t.TempDir(), "x.onnx")
		if c.file != nil {
			if err := os.WriteFile(path, c.file, 0o666); err != nil {
				t.Fatal(err)
			}
		}
		var out bytes.Buffer
		err := Eval(t.Context(), []string{"--model", path, "--data", data, "--onnxruntime", orttest.Open(t).Path()}, &out, io.Discard)
		var wrong *usage.Error
		if err == nil || !strings.Contains(err.Error(), c.want) || errors.As(err, &wrong) != c.usage || out.Len() > 0 {
			t.Errorf("want %q, got %v and\n%s", c.want, err, out.String())
		}
	}
}

// With shuffled folder names there is nothing to find.
func TestEvalWithoutMeaning(t *testing.T) {
	from, data := drawKinds(t, 30, 1), t.TempDir()
	r := rand.New(rand.NewPCG(1, 2))
	kinds := []string{"a", "b", "c"}
	for _, colour := range []string{"red", "green", "blue"} {
		for _, name := range names(t, filepath.Join(from, colour)) {
			dir := filepath.Join(data, kinds[r.IntN(3)])
			if err := errors.Join(os.MkdirAll(dir, 0o777), os.Rename(filepath.Join(from, colour, name), filepath.Join(dir, colour+name))); err != nil {
				t.Fatal(err)
			}
		}
	}
	k := parse(t, evaluated(t, "--model", someModel(t, data), "--data", data, "--json")).Kinds
	if k.KNN > 0.6 || math.Abs(*k.Within-*k.Between) > 0.1 {
		t.Errorf("%+v, cosines %v and %v", k, *k.Within, *k.Between)
	}
}

// Images in the root folder have no kind; they only count for the figures that need no labels.
func TestEvalWithoutKinds(t *testing.T) {
	data := drawKinds(t, 4, 1)
	model := someModel(t, data)
	for _, dir := range []string{"green", "blue"} {
		for _, name := range names(t, filepath.Join(data, dir)) {
			if err := os.Rename(filepath.Join(data, dir, name), filepath.Join(data, dir+name)); err != nil {
				t.Fatal(err)
			}
		}
	}
	p := parse(t, evaluated(t, "--model", model, "--data", data, "--json"))
	if p.Kinds != nil || p.Images != 12 || p.RankMe == nil || *p.RankMe < 1 || *p.RankMe > 12 {
		t.Errorf("%+v", p)
	}
	if out := evaluated(t, "--model", model, "--data", data); !strings.Contains(out, "kinds       fewer than two: ") {
		t.Errorf("printed\n%s", out)
	}
	if out := evaluated(t, "--model", model, "--data", data); !strings.Contains(out, fmt.Sprintf("spread      %.2f, std of the normalised vectors × sqrt(32); ", p.Spread)) {
		t.Errorf("printed\n%s", out)
	}
	if p.Std <= 0 || math.Abs(p.Spread-p.Std*math.Sqrt(32)) > 1e-12 {
		t.Errorf("spread %v, std %v", p.Spread, p.Std)
	}
	if p := parse(t, evaluated(t, "--model", model, "--data", data, "--json", "--limit", "5")); p.Images != 5 {
		t.Errorf("%d images with --limit 5", p.Images)
	}
}

// A dead network returns zeros: no figure is invented, and the JSON stays valid.
func TestEvalOfADeadNetwork(t *testing.T) {
	data := drawKinds(t, 4, 1)
	run := madeRun(t, smallConfig(t, data, 16), func(state tensors) {
		for name, x := range state {
			if strings.HasPrefix(name, "backbone.") && len(x.Shape) == 1 && !strings.HasSuffix(name, "running_var") {
				clear(x.Float32())
			}
		}
	})
	exported(t, run)
	p := parse(t, evaluated(t, "--model", filepath.Join(run, "backbone.onnx"), "--data", data, "--json"))
	if p.RankMe != nil || p.Kinds.KNN > p.Kinds.Chance || p.Kinds.Raw != 1 {
		t.Errorf("%+v %+v", p, p.Kinds)
	}
	if out := evaluated(t, "--model", filepath.Join(run, "backbone.onnx"), "--data", data); !strings.Contains(out, "RankMe      undefined: all vectors are zero\n") || strings.Contains(out, "NaN") {
		t.Errorf("printed\n%s", out)
	}
}

// Few or equal images leave figures undefined: the text says so, and JSON has null.
func TestEvalOfFewImages(t *testing.T) {
	data := drawKinds(t, 2, 1)
	model := someModel(t, data)
	file := func(kind string, i int) []byte {
		return read(t, filepath.Join(data, kind, names(t, filepath.Join(data, kind))[i]))
	}
	folder := func(files map[string][]byte) string {
		dir := t.TempDir()
		for name, b := range files {
			if err := errors.Join(os.MkdirAll(filepath.Dir(filepath.Join(dir, name)), 0o777), os.WriteFile(filepath.Join(dir, name), b, 0o666)); err != nil {
				t.Fatal(err)
			}
		}
		return dir
	}
	red, green := file("red", 0), file("green", 0)
	lone := folder(map[string][]byte{"red/a.jpg": red, "green/a.jpg": green})
	for _, c := range []struct {
		what, dir, reference, want string
		null                       string // undefined figures that depend on kinds
	}{
		{"one of each kind", lone, "", "cosine      nothing to compare within classes, ", "cosine_within knn knn_centered knn_raw knn_raw_centered linear"},
		{"one of each kind, with others", lone, data, "\nknn k=6              100.00 %", "cosine_within linear"},
		{"one kind", folder(map[string][]byte{"red/a.jpg": red, "red/b.jpg": file("red", 1)}), "", "kinds       fewer than two: ", "all"},
		{"one kind among others", folder(map[string][]byte{"red/a.jpg": red, "red/b.jpg": file("red", 1)}), data, " within classes, nothing to compare between classes", "cosine_between linear"},
		{"no kind", folder(map[string][]byte{"a.jpg": red, "b.jpg": green}), "", "kinds       fewer than two: ", "all"},
		{"no kind can be read", folder(map[string][]byte{"a.jpg": red, "b.jpg": green, "x/c.jpg": red[:99], "y/d.jpg": red[:99]}), "", "kinds       fewer than two: ", "all"},
		{"equal images", folder(map[string][]byte{"x/a.jpg": red, "x/b.jpg": red, "y/a.jpg": red, "y/b.jpg": red}), "", "RankMe      1.0 of at most 4\nspread      0.00, ", "linear"},
	} {
		args := []string{"--model", model, "--data", c.dir}
		if c.reference != "" {
			args = append(args, "--reference", c.reference)
		}
		if out := evaluated(t, args...); !strings.Contains(out, c.want) || strings.Contains(out, "NaN") || strings.Contains(out, "Inf") {
			t.Errorf("%s: want %q in\n%s", c.what, c.want, out)
		}
		var p struct{ Kinds map[string]any }
		if err := json.Unmarshal([]byte(evaluated(t, append(args, "--json")...)), &p); err != nil {
			t.Fatal(err)
		}
		null := []string{"all"}
		if p.Kinds != nil {
			null = nil
		}
		for _, name := range slices.Sorted(maps.Keys(p.Kinds)) {
			if p.Kinds[name] == nil {
				null = append(null, name)
			}
		}
		if got := strings.Join(null, " "); got != c.null {
			t.Errorf("%s: null is %q, want %q", c.what, got, c.null)
		}
	}
	for dir, want := range map[string]string{
		folder(nil): "no image in ", folder(map[string][]byte{"red/a.jpg": red}): " has only one image",
		folder(map[string][]byte{"red/a.jpg": red, "red/b.jpg": red[:99]}): "fewer than two images could be read in ",
	} {
		err := Eval(t.Context(), []string{"--model", model, "--data", dir, "--onnxruntime", orttest.Open(t).Path()}, io.Discard, io.Discard)
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%v, want %q", err, want)
		}
	}
}

// With fewer neighbours than requested all of them vote, and the output says so.
func TestEvalOfFewNeighbors(t *testing.T) {
	data, reference := drawKinds(t, 2, 1), drawKinds(t, 3, 2) // 3 kinds each
	model := someModel(t, data)
	const note = "all neighbours vote"
	for _, c := range []struct {
		args         []string
		among, right string
		k            int
		noted        bool
	}{
		{nil, "6 images, neighbours among 5 other images\n", "knn k=5  ", 5, true},
		{[]string{"-k", "5"}, "among 5 other images\n", "knn k=5  ", 5, true},
		{[]string{"-k", "4"}, "among 5 other images\n", "knn k=4  ", 4, false},
		{[]string{"--reference", reference}, "6 images, neighbours among 9 reference images\n", "knn k=9  ", 9, true},
		{[]string{"--reference", reference, "-k", "8"}, "among 9 reference images\n", "knn k=8  ", 8, false},
	} {
		args := append([]string{"--model", model, "--data", data}, c.args...)
		out := evaluated(t, args...)
		if !strings.Contains(out, c.among) || !strings.Contains(out, c.right) || strings.Contains(out, note) != c.noted {
			t.Errorf("%v: printed\n%s", c.args, out)
		}
		if p := parse(t, evaluated(t, append(args, "--json")...)); p.Kinds.K != c.k {
			t.Errorf("%v: k is %d", c.args, p.Kinds.K)
		}
	}
}

// Duplicate images are reported: each finds its copy.
func TestEvalNoticesCopies(t *testing.T) {
	data := drawKinds(t, 2, 1)
	put(t, data, "green/again.png", read(t, filepath.Join(data, "red", names(t, filepath.Join(data, "red"))[0])))
	var out, errs bytes.Buffer
	if err := Eval(t.Context(), []string{"--model", someModel(t, data), "--data", data, "--onnxruntime", orttest.Open(t).Path()}, &out, &errs); err != nil {
		t.Fatal(err)
	}
	if want := "vicreg eval: 2 of 7 images in " + data + " are byte for byte like another one there"; !strings.Contains(errs.String(), want) {
		t.Errorf("said\n%s", &errs)
	}
}

// Nor are copies reported where no figure depends on them: of images without a kind.
func TestEvalOfCopiesWithoutKinds(t *testing.T) {
	kinds, flat := drawKinds(t, 2, 1), t.TempDir()
	model := someModel(t, kinds)
	one := read(t, filepath.Join(kinds, "red", names(t, filepath.Join(kinds, "red"))[0]))
	for _, dir := range []string{flat, kinds} {
		for _, name := range []string{"a.jpg", "b.jpg"} {
			put(t, dir, name, append(one, "no kind"...))
		}
		var out, errs bytes.Buffer
		if err := Eval(t.Context(), []string{"--model", model, "--data", dir, "--onnxruntime", orttest.Open(t).Path()}, &out, &errs); err != nil {
			t.Fatal(err)
		}
		if strings.Contains(errs.String(), "byte for byte") || strings.Contains(out.String(), "knn") != (dir == kinds) {
			t.Errorf("said\n%s%s", &errs, &out)
		}
	}
}

// Images that are also in the reference are reported, compared by their bytes.
func TestEvalNoticesEqualFiles(t *testing.T) {
	data, other, some := drawKinds(t, 2, 1), drawKinds(t, 3, 2), drawKinds(t, 3, 2)
	model := someModel(t, other)
	for _, name := range names(t, filepath.Join(data, "red")) {
		put(t, some, "blue/of another kind "+name, read(t, filepath.Join(data, "red", name)))
	}
	for _, c := range []struct {
		reference string
		want      int
	}{{"", 0}, {other, 0}, {some, 2}, {data, 6}} {
		args := []string{"--model", model, "--data", data, "--json", "--onnxruntime", orttest.Open(t).Path()}
		if c.reference != "" {
			args = append(args, "--reference", c.reference)
		}
		var out, errs bytes.Buffer
		if err := Eval(t.Context(), args, &out, &errs); err != nil {
			t.Fatal(err)
		}
		var found struct {
			Copies int `json:"in_reference"`
		}
		if err := json.Unmarshal(out.Bytes(), &found); err != nil || found.Copies != c.want {
			t.Errorf("%s: %+v, %v", c.reference, found, err)
		}
		line := fmt.Sprintf("vicreg eval: %d of 6 images in %s are also in %s, byte for byte: ", c.want, data, c.reference)
		if strings.Contains(errs.String(), line) != (c.want > 0) || strings.Contains(errs.String(), "byte for byte") != (c.want > 0) {
			t.Errorf("%s: said\n%s", c.reference, &errs)
		}
	}
}

func TestEvalRefuses(t *testing.T) {
	data := drawKinds(t, 2, 1)
	model := someModel(t, data)
	other := t.TempDir()
	if err := os.Rename(filepath.Join(drawKinds(t, 2, 1), "red"), filepath.Join(other, "crimson")); err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		args []string
		want string
	}{
		{[]string{"--data", data}, "--model FILE is missing"},
		{[]string{"--model", model}, "--data DIR is missing"},
		{[]string{"--model", model, "--data", filepath.Join(data, "none")}, "does not exist"},
		{[]string{"--model", model, "--data", data, "--k", "0"}, "-k 0: want at least 1 neighbour"},
		{[]string{"--model", model, "--data", data, "-k", "20,-1"}, "-k 20,-1: want at least 1 neighbour"},
		{[]string{"--model", model, "--data", data, "-k", "many"}, "-k many: want a whole number, or several separated by commas"},
		{[]string{"--model", model, "--data", data, "--temperature", "0"}, "--temperature 0: want a finite number above 0"},
		{[]string{"--model", model, "--data", data, "--temperature", "-0.1"}, "--temperature -0.1: want a finite number above 0"},
		{[]string{"--model", model, "--data", data, "--temperature", "NaN"}, "--temperature NaN: want a finite number above 0"},
		{[]string{"--model", model, "--data", data, "--limit", "1"}, "--limit 1"},
		{[]string{"--model", model, "--data", data, "--reference", other}, "no folder in " + other + " has the name of one in " + data},
		{[]string{"--model", filepath.Join(data, "red", "000.jpg"), "--data", data}, "not an ONNX model"},
		{[]string{"--model", model, "--data", data, "--temperature", "Inf"}, "--temperature +Inf: want a finite number above 0"},
		{[]string{"--model", model, "--data", data, "--threads", "-1"}, "--threads -1"},
	} {
		err := Eval(t.Context(), append(c.args, "--onnxruntime", orttest.Open(t).Path()), io.Discard, io.Discard)
		var wrong *usage.Error
		if err == nil || !strings.Contains(err.Error(), c.want) || !errors.As(err, &wrong) {
			t.Errorf("%v: %v, want %q", c.args, err, c.want)
		}
	}
}

func TestMeanCosinesAgainstAllPairs(t *testing.T) {
	r := rand.New(rand.NewPCG(4, 4))
	m, labels := stats.New(20, 6), make([]int, 20)
	for i := range m.Data {
		m.Data[i] = r.Float32() - 0.3
	}
	clear(m.Row(7)) // a zero vector has cosine 0 with everything
	for i := range labels {
		labels[i] = r.IntN(3)
	}
	var sum [2]float64
	var pairs [2]int
	unit := m.Normalized()
	for i := range 20 {
		for j := range i {
			same := 0
			if labels[i] == labels[j] {
				same = 1
			}
			pairs[same]++
			for d := range 6 {
				sum[same] += float64(unit.Row(i)[d]) * float64(unit.Row(j)[d])
			}
		}
	}
	within, between := meanCosines(m, labels)
	if math.Abs(within-sum[1]/float64(pairs[1])) > 1e-6 || math.Abs(between-sum[0]/float64(pairs[0])) > 1e-6 {
		t.Errorf("within %v, between %v; all pairs give %v and %v", within, between, sum[1]/float64(pairs[1]), sum[0]/float64(pairs[0]))
	}
	for i := range labels { // rounding must not yield a figure when there is no pair
		labels[i] = i
	}
	if within, _ := meanCosines(m, labels); !math.IsNaN(within) {
		t.Errorf("within %v, with one row of each label", within)
	}
	clear(labels)
	if _, between := meanCosines(m, labels); !math.IsNaN(between) {
		t.Errorf("between %v, with one label", between)
	}
}

// Each row is excluded from its own neighbours, but an equal row is not; a row without another of
// its kind is excluded from the averages.
func TestComparisonLeavesItselfOut(t *testing.T) {
	m := stats.Of([]float32{1, 0, 1, 0, 0, 1}, 3, 2)
	s := &sample{kinds: []string{"a", "a", "b"}, files: make([]bulk.Hash, 3), y: m, raw: m, tiny: m}
	c := newComparison(s, nil, make([]float32, 2), []int{1, 9}, 1)
	if c.neighbors() != 2 || !slices.Equal(c.ks, []int{1}) || !slices.Equal(c.toFind(), []int{1, 1, 0}) {
		t.Fatalf("%d neighbours, k %v, to find %v", c.neighbors(), c.ks, c.toFind())
	}
	ranks, near := newRanking(c, c.toFind()), make([][]stats.Neighbor, 3)
	if err := c.search(t.Context(), m, m, ranks, near); err != nil {
		t.Fatal(err)
	}
	for i, want := range []int{1, 0, 0} {
		if len(near[i]) != 1 || near[i][0].Index != want {
			t.Errorf("row %d: %v, want %d", i, near[i], want)
		}
	}
	if f := ranks.figures(); f.Images != 2 || f.Recall1 != 1 || f.MAP != 1 || f.Chance.Recall1 != 0.5 || f.Chance.MAP != 0.5 {
		t.Errorf("%+v", f)
	}
	if c := newComparison(s, s, make([]float32, 2), []int{9}, 1); c.neighbors() != 3 || !slices.Equal(c.ks, []int{3}) || !slices.Equal(c.toFind(), []int{2, 2, 1}) {
		t.Errorf("with a reference %d neighbours, k %v, to find %v", c.neighbors(), c.ks, c.toFind())
	}
}

func TestEvenly(t *testing.T) {
	for _, c := range []struct {
		n, limit int
		want     []int
	}{{3, 5, []int{0, 1, 2}}, {10, 4, []int{0, 2, 5, 7}}, {0, 4, []int{}}} {
		if got := evenly(c.n, c.limit); !slices.Equal(got, c.want) {
			t.Errorf("evenly(%d, %d) = %v, want %v", c.n, c.limit, got, c.want)
		}
	}
}
