package stats

import (
	"encoding/json"
	"math"
	"os"
	"slices"
	"testing"
)

// reference is testdata/reference.json; reference.py beside it says how it is made.
type reference struct {
	Measures []struct {
		N, D                                                 int
		SingularValues, Variance, Axes, Projected, ColumnStd []float64
		RankMe, Total, NormalizedStd, ShareBelow03           float64
		MeanAbsCorrelation, Cosine, Top1                     float64
	}
	Neighbors struct {
		Order      [][]int
		Similarity [][]float64
		Votes      []struct {
			K       int
			T       float64
			Classes []int
		}
	}
}

func load(t *testing.T) (ref reference) {
	t.Helper()
	data, err := os.ReadFile("testdata/reference.json")
	if err != nil {
		t.Fatal(err)
	}
	if err := json.Unmarshal(data, &ref); err != nil {
		t.Fatal(err)
	}
	return ref
}

// matrix is the function of the same name in reference.py.
func matrix(n, d, seed int) Matrix {
	m := New(n, d)
	for i := range m.Data {
		m.Data[i] = float32(float64((i*i*7+i*seed+3)%1009)/1009 - 0.5)
	}
	return m
}

func near(t *testing.T, what string, got, want []float64) {
	t.Helper()
	if len(got) != len(want) {
		t.Fatalf("%s: %d values, want %d", what, len(got), len(want))
	}
	for i := range want {
		if !(math.Abs(got[i]-want[i]) <= 2e-6) {
			t.Errorf("%s[%d]: got %.9g, want %.9g", what, i, got[i], want[i])
		}
	}
}

func wide(x []float32) []float64 {
	out := make([]float64, len(x))
	for i, v := range x {
		out[i] = float64(v)
	}
	return out
}

func TestMeasuresEqualNumpy(t *testing.T) {
	for _, want := range load(t).Measures {
		a, b := matrix(want.N, want.D, 11), matrix(want.N, want.D, 29)
		for i := range b.Data {
			b.Data[i] = float32(float64(a.Data[i]) + float64(b.Data[i])*0.6)
		}
		near(t, "singular values", SingularValues(a), want.SingularValues)
		pca := FitPCA(a, 2)
		near(t, "axes", wide(pca.Axes.Data), want.Axes)
		near(t, "variance", pca.Variance, want.Variance)
		near(t, "projection", wide(pca.Project(a).Data), want.Projected)
		near(t, "column std", ColumnStd(a), want.ColumnStd)
		corr, constant := MeanAbsCorrelation(a)
		if constant != 0 {
			t.Errorf("%d constant dimensions", constant)
		}
		align := Align(a, b)
		near(t, "rankme, total, normalised std, share, correlation, cosine, top-1",
			[]float64{RankMe(a), pca.Total, NormalizedStd(a), ShareBelow(a, 0.3), corr, align.Cosine, align.Retrieval},
			[]float64{want.RankMe, want.Total, want.NormalizedStd, want.ShareBelow03, want.MeanAbsCorrelation, want.Cosine, want.Top1})
	}
}

func TestNeighborsEqualNumpy(t *testing.T) {
	want := load(t).Neighbors
	got := Neighbors(matrix(40, 6, 5), matrix(15, 6, 17), 20)
	for q, near := range got {
		for i, n := range near {
			if n.Index != want.Order[q][i] || math.Abs(float64(n.Similarity)-want.Similarity[q][i]) > 2e-6 {
				t.Errorf("query %d, neighbour %d: got %v, want %d at %g", q, i, n, want.Order[q][i], want.Similarity[q][i])
			}
		}
	}
	labels := make([]int, 40)
	for i := range labels {
		labels[i] = i * 7 % 3
	}
	for _, v := range want.Votes {
		if c := Vote(got, labels, v.K, v.T); !slices.Equal(c, v.Classes) {
			t.Errorf("k=%d, T=%g: got %v, want %v", v.K, v.T, c, v.Classes)
		}
	}
}

// By hand: the query [1, 0] has cosines 1, 0.6, 0.6 and -1.
func TestVoteByHand(t *testing.T) {
	base := Of([]float32{3, 4, 10, 0, 3, -4, -2, 0}, 4, 2)
	near := Neighbors(base, Of([]float32{5, 0}, 1, 2), 9)
	if want := []Neighbor{{1, 1}, {0, 0.6}, {2, 0.6}, {3, -1}}; !slices.EqualFunc(near[0], want, func(a, b Neighbor) bool {
		return a.Index == b.Index && math.Abs(float64(a.Similarity-b.Similarity)) < 1e-6
	}) {
		t.Errorf("got %v, want %v", near[0], want)
	}
	labels := []int{7, 5, 7, 7}
	for _, c := range []struct {
		k           int
		temperature float64
		want        int
	}{
		{1, 1, 5},
		{2, 1, 5},      // e^1 > e^0.6
		{3, 1, 7},      // e^1 < 2 e^0.6
		{3, 0.07, 5},   // e^14.3 > 2 e^8.6
		{3, 0.0001, 5}, // does not overflow
		{3, 1e-300, 5}, // nor is every vote 0
		{9, math.SmallestNonzeroFloat64, 5},
		{9, 1, 7},
	} {
		if got := Vote(near, labels, c.k, c.temperature); got[0] != c.want {
			t.Errorf("k=%d, T=%g: got class %d, want %d", c.k, c.temperature, got[0], c.want)
		}
	}
	far := [][]Neighbor{{{0, -0.2}, {1, -0.3}, {2, -0.3}}}
	for _, temperature := range []float64{1e-4, 1e-300} {
		if got := Vote(far, []int{4, 2, 2}, 3, temperature); got[0] != 4 {
			t.Errorf("T=%g, far from everything: got %d, want that of the nearest, 4", temperature, got[0])
		}
	}
	if got := Vote(near, []int{9, 8, 7, 6}, 3, 1e300); got[0] != 7 {
		t.Errorf("of equal votes class %d won, want the smallest, 7", got[0])
	}
	if got := Accuracy(Vote(Neighbors(base, Of([]float32{5, 0, -1, 0}, 2, 2), 1), labels, 1, 1), []int{5, 5}); got != 0.5 {
		t.Errorf("accuracy %g, want 0.5", got)
	}
}

// A plain loop must find the same neighbours over several blocks of both kinds.
func TestNeighborsOverBlocks(t *testing.T) {
	base, queries := random(2*baseBlock+77, 5), random(2*queryBlock+9, 5)
	copy(base.Row(baseBlock+3), base.Row(2)) // a tie across blocks
	copy(queries.Row(0), base.Row(2))
	got := Neighbors(base, queries, 10)
	if got[0][0].Index != 2 || got[0][1].Index != baseBlock+3 {
		t.Errorf("a tie is broken as %v", got[0][:2])
	}
	b, q := base.Normalized(), queries.Normalized()
	for i := range q.N {
		var all []float64
		for j := range b.N {
			sum := 0.0
			for d, v := range b.Row(j) {
				sum += float64(v) * float64(q.Row(i)[d])
			}
			all = append(all, sum)
		}
		var found []float64
		for _, n := range got[i] {
			found = append(found, all[n.Index])
		}
		slices.Sort(all)
		slices.Reverse(all)
		near(t, "similarity", found, all[:10])
	}
}

func TestNeighborsOfZeroAndNaN(t *testing.T) {
	nan := float32(math.NaN())
	near := Neighbors(Of([]float32{nan, 1, 0, 0, -1, 0.1}, 3, 2), Of([]float32{1, 0}, 1, 2), 3)[0]
	if near[0] != (Neighbor{1, 0}) || near[2] != (Neighbor{0, -1}) {
		t.Errorf("got %v", near)
	}
	if got := Neighbors(New(0, 2), New(1, 2), 3); len(got) != 1 || len(got[0]) != 0 {
		t.Errorf("among nothing: %v", got)
	}
	if got := Vote([][]Neighbor{nil}, nil, 5, 1); got[0] != -1 {
		t.Errorf("no neighbour voted for %d", got[0])
	}
}
