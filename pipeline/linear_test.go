package pipeline

import (
	"context"
	"encoding/binary"
	"encoding/json"
	"errors"
	"maps"
	"math"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"vicreg/models/ort/orttest"
	"vicreg/pipeline/bulk"
	"vicreg/pipeline/linear"
	"vicreg/pipeline/stats"
)

// made returns a sample with the given number of images of each kind ("a", "b", ...), whose vectors
// are the unit vector of their kind plus a little noise. Each image has a distinct file.
func made(counts ...int) *sample {
	r := rand.New(rand.NewPCG(5, 5))
	d := len(counts)
	s := &sample{y: stats.New(0, d)}
	for kind, n := range counts {
		for range n {
			row := make([]float32, d)
			for j := range row {
				row[j] = float32(r.NormFloat64() / 50)
			}
			row[kind]++
			s.kinds = append(s.kinds, string(rune('a'+kind)))
			s.files = append(s.files, madeFile(len(s.files)))
			s.y.Data = append(s.y.Data, row...)
			s.y.N++
		}
	}
	s.raw, s.tiny = s.y, s.y
	return s
}

func madeFile(i int) (h bulk.Hash) {
	binary.LittleEndian.PutUint64(h[:], uint64(i))
	return h
}

func compared(t *testing.T, queries, base *sample) *kindFigures {
	t.Helper()
	f, err := newComparison(queries, base, make([]float32, queries.y.D), []int{1, 3}, 0.07).measure(t.Context(), &linear.Prober{Runtime: orttest.Open(t)})
	if err != nil {
		t.Fatal(err)
	}
	return f
}

// A kind with one image cannot be recognised, which costs the balanced accuracy a seventh.
func TestFiguresOfARareKind(t *testing.T) {
	f := compared(t, made(10, 10, 10, 10, 10, 10, 1), nil)
	near := func(what string, got number, want float64) {
		if math.Abs(float64(got)-want) > 1e-12 {
			t.Errorf("%s is %v, want %v", what, got, want)
		}
	}
	near("accuracy", f.Linear.Vectors.Right, 60./61)
	near("balanced", f.Linear.Vectors.Balanced, 6./7)
	near("chance, balanced", f.Balanced, 1./7)
	near("top 5 by chance", f.Top5, 50./61)
	near("knn, balanced", f.Votes[0].Vectors.Balanced, 6./7)
	near("recall", f.Retrieval.Recall1, 1)
	if f.Linear.Unseen != 1 || f.Retrieval.Images != 60 || *f.Linear.Vectors.Top5 < 60./61 || len(f.Votes) != 2 {
		t.Errorf("%+v, %+v", f.Linear, f.Retrieval)
	}
	var out strings.Builder
	f.print(&out)
	for _, want := range []string{
		"\n  top 5           ", "\n  images without another of their class to train on, counted as wrong: 1\n", "\nknn k=3 ",
		"; over the 60 images with another of their class to find\n",
	} {
		if !strings.Contains(out.String(), want) {
			t.Errorf("no %q in\n%s", want, &out)
		}
	}
	if f := compared(t, made(2, 2, 2), made(9, 9, 0)); f.Linear.Unseen != 2 || f.Linear.Protocol != "reference" || f.Linear.Vectors.Top5 != nil {
		t.Errorf("with a reference: %+v", f.Linear)
	}
}

// Vectors without information are recognised by their copies, unless copies are kept together.
func TestCopiesDoNotLeak(t *testing.T) {
	s := &sample{y: stats.New(160, 200)}
	r := rand.New(rand.NewPCG(6, 6))
	for i := range 80 {
		kind := string(rune('a' + r.IntN(2)))
		for j := range s.y.D {
			v := float32(r.NormFloat64())
			s.y.Row(2 * i)[j], s.y.Row(2*i + 1)[j] = v, v
		}
		s.kinds, s.files = append(s.kinds, kind, kind), append(s.files, madeFile(2*i), madeFile(2*i+1))
	}
	s.raw, s.tiny = s.y, s.y
	if a := compared(t, s, nil).Linear.Vectors.Right; a < 0.8 {
		t.Errorf("copies that are not known for such: %v right", a)
	}
	for i := range s.files {
		s.files[i] = madeFile(i / 2)
	}
	if a := compared(t, s, nil).Linear.Vectors.Right; a > 0.65 {
		t.Errorf("of vectors that say nothing %v are right", a)
	}
}

func TestMeasuringKindsEndsWithContext(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	c := newComparison(made(6, 6), nil, make([]float32, 2), []int{1}, 0.07)
	prober := &linear.Prober{Runtime: orttest.Open(t)}
	if _, err := c.measure(ctx, prober); !errors.Is(err, context.Canceled) {
		t.Errorf("measure: %v", err)
	}
	if _, err := c.probe(ctx, prober); !errors.Is(err, context.Canceled) {
		t.Errorf("probe: %v", err)
	}
}

// These names are read by other programs.
func TestNamesOfFigures(t *testing.T) {
	text, err := json.Marshal(compared(t, made(6, 6, 6, 6, 6, 6), nil))
	if err != nil {
		t.Fatal(err)
	}
	var object map[string]any
	if err := json.Unmarshal(text, &object); err != nil {
		t.Fatal(err)
	}
	want := map[string]string{
		"":                 "chance chance_balanced chance_top5 cosine_between cosine_within count images k knn knn_at knn_centered knn_raw knn_raw_centered linear reference retrieval temperature",
		"knn_at":           "centered k raw raw_centered vectors",
		"knn_at.vectors":   "accuracy balanced_accuracy",
		"linear":           "form protocol raw unseen vectors",
		"linear.vectors":   "accuracy accuracy_high accuracy_low balanced_accuracy l2 top5_accuracy",
		"retrieval":        "chance images map_at_r recall_at_1 recall_at_10 recall_at_5",
		"retrieval.chance": "map_at_r recall_at_1 recall_at_10 recall_at_5",
	}
	for path, names := range want {
		at := any(object)
		for key := range strings.SplitSeq(path, ".") {
			if key != "" {
				at = at.(map[string]any)[key]
			}
			if list, ok := at.([]any); ok {
				at = list[0]
			}
		}
		got := strings.Join(slices.Sorted(maps.Keys(at.(map[string]any))), " ")
		if got != names {
			t.Errorf("%q has %s, want %s", path, got, names)
		}
	}
}
