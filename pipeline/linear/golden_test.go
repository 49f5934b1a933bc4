package linear

import (
	"math"
	"strconv"
	"testing"

	"vicreg/models/ort/orttest"
	"vicreg/pipeline/stats"
	"vicreg/scripts/golden"
)

const goldenKinds, goldenDim = 4, 24

// goldenSamples reproduces the samples of linear.py.
func goldenSamples(name string, count int) Samples {
	means := golden.Fill("linear/means", 0.5, 0, goldenKinds, goldenDim).Float32()
	spread := golden.Fill("linear/spread", 5, 0, goldenDim).Float32()
	shared, noise := golden.U(name+"/shared", count), golden.U(name, count*goldenDim)
	s := Samples{X: stats.New(count, goldenDim)}
	for i := range count {
		label := (i*i*i + i) % 11 % goldenKinds
		s.Labels, s.Parts = append(s.Labels, label), append(s.Parts, i%PartCount)
		for j := range goldenDim {
			v := noise[i*goldenDim+j] + means[label*goldenDim+j]
			v += shared[i]
			s.X.Row(i)[j] = v * float32(math.Exp2(math.RoundToEven(float64(spread[j]))))
		}
	}
	return s
}

func prober(t testing.TB) *Prober { return &Prober{Runtime: orttest.Open(t)} }

// The minimum is scikit-learn's: fitted as tightly as float32 scores allow, objective, weights,
// scores and figures agree; with the probe's own tolerance, they nearly do.
func TestEqualsScikitLearn(t *testing.T) {
	want := golden.Open(t, "linear")
	train, test := goldenSamples("linear/train", 300), goldenSamples("linear/test", 200)
	m, err := newProducts(prober(t), goldenDim, goldenKinds)
	if err != nil {
		t.Fatal(err)
	}
	defer m.close()
	for _, l2 := range []float64{1, 0.03, 0.001} {
		o := newObjective(t.Context(), m, train)
		tight, err := o.minimize(l2, 2e-6, make([]float64, o.size()))
		if err != nil {
			t.Fatal(err)
		}
		name := strconv.FormatFloat(l2, 'g', -1, 64)
		penalised := goldenKinds * goldenDim
		apart(t, name+" objective", []float64{tight.loss}, want.Floats(name+"/loss"), 1e-7)
		apart(t, name+" weights", tight.weights[:penalised], want.Floats(name+"/weights"), 1e-3)
		apart(t, name+" intercepts", centred(tight.weights[penalised:]), centred(want.Floats(name+"/intercepts")), 1e-3)
		compareFigures(t, name+" tight", tight, test, want.Floats(name+"/scores"), want.Floats(name+"/accuracy"), 3e-3, 1e-9)

		usual, err := o.minimize(l2, tolerance, make([]float64, o.size()))
		if err != nil {
			t.Fatal(err)
		}
		apart(t, name+" objective as probed", []float64{usual.loss}, want.Floats(name+"/loss"), 2e-5)
		compareFigures(t, name+" as probed", usual, test, want.Floats(name+"/scores"), want.Floats(name+"/accuracy"), 0.1, 0.015)
	}
}

// compareFigures compares scores and both accuracies. The closest two scores in any row of the
// fixture are further apart than the tolerance of the tight fit, so the accuracies agree exactly.
func compareFigures(t *testing.T, what string, c *classifier, test Samples, scores, accuracies []float64, tolerance, figures float64) {
	t.Helper()
	got, err := c.scores(t.Context(), test.X)
	if err != nil {
		t.Fatal(err)
	}
	var flat, wanted []float64
	for i := range got.N {
		row := make([]float64, got.D)
		for j, v := range got.Row(i) {
			row[j] = float64(v)
		}
		flat = append(flat, centred(row)...)
		wanted = append(wanted, centred(scores[i*got.D:(i+1)*got.D])...)
	}
	apart(t, what+" scores", flat, wanted, tolerance)
	classes := Classes(got)
	apart(t, what+" accuracies", []float64{stats.Accuracy(classes, test.Labels), stats.BalancedAccuracy(classes, test.Labels)}, accuracies, figures)
}

// centred subtracts the mean of x: adding a constant to all intercepts changes nothing.
func centred(x []float64) []float64 {
	mean, out := 0.0, make([]float64, len(x))
	for _, v := range x {
		mean += v / float64(len(x))
	}
	for i, v := range x {
		out[i] = v - mean
	}
	return out
}

func apart(t *testing.T, what string, got, want []float64, tolerance float64) {
	t.Helper()
	if len(got) != len(want) {
		t.Fatalf("%s: %d numbers, want %d", what, len(got), len(want))
	}
	worst, at := 0.0, 0
	for i := range got {
		if d := math.Abs(got[i] - want[i]); !(d <= worst) {
			worst, at = d, i
		}
	}
	if !(worst <= tolerance) {
		t.Errorf("%s: number %d is %.8g, want %.8g", what, at, got[at], want[at])
	}
}
