package server

import (
	"fmt"
	"math"
	"path/filepath"
	"slices"
	"testing"

	"vicreg/models/onnx"
	"vicreg/pipeline/encoder"
	"vicreg/pipeline/stats"
	"vicreg/server/index"
	"vicreg/server/problem"
	"vicreg/server/servertest"
)

// centered starts a server whose model has a mean: that of the vectors of the first pictures.
func centered(t *testing.T) (s *Server, mean []float32) {
	t.Helper()
	plain := start(t, nil)
	mean = make([]float32, plain.current().Dim())
	for i := range 5 {
		for k, v := range direct(t, plain, servertest.Photo(t, i)) {
			mean[k] += v / 5
		}
	}
	s = prepare(t, func() ([]byte, error) {
		m, err := onnx.Unmarshal(servertest.Model(t, 1))
		if err != nil {
			return nil, err
		}
		about, err := encoder.ReadMetadata(onnx.Metadata(m))
		if err != nil {
			return nil, err
		}
		about.Center = mean
		if err := about.Attach(m); err != nil {
			return nil, err
		}
		return onnx.Marshal(m)
	}, nil)
	if err := s.Load(); err != nil {
		t.Fatal(err)
	}
	return s, mean
}

// The cosine of two centred vectors equals the score that an index gives the two images; the cosine
// of uncentred ones does not.
func TestCosinesOfCenteredVectorsAreScores(t *testing.T) {
	s, mean := centered(t)
	e := s.current()
	file, err := index.Open(t.Context(), filepath.Join(t.TempDir(), "i"), index.Options{Create: true, Binding: index.Bind(e.Fingerprint(), e.Dim(), mean)})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { s.Items.SetIndex(nil); file.Close() })
	s.Items.SetIndex(file)
	const n = 8
	files := make([][]byte, n)
	for i := range files {
		files[i] = servertest.Photo(t, 3*i)
		if w := ask(s, "PUT", fmt.Sprint("/items/", i), files[i], "Content-Type", "image/png"); w.Code/100 != 2 {
			t.Fatal(w.Code, w.Body)
		}
	}
	vectors := func(query string) (all [][]float32) {
		for _, r := range parse(t, ask(s, "POST", "/embed"+query, inputs(files...), "Content-Type", asJSON)).Data {
			all = append(all, numbers(t, r.Embedding))
		}
		return all
	}
	raw, less, unit := vectors(""), vectors("?center=true"), vectors("?center=true&normalize=true")
	apart := 0.0
	for i, d := range read[similarReply](t, ask(s, "POST", "/similar", inputs(files...), "Content-Type", asJSON), 200).Data {
		if math.Abs(stats.Norm(unit[i])-1) > 1e-6 || math.Abs(stats.Norm(less[i])-1) < 1e-3 {
			t.Errorf("lengths %v and %v", stats.Norm(unit[i]), stats.Norm(less[i]))
		}
		if len(*d.Results) != n {
			t.Fatalf("%d results", len(*d.Results))
		}
		for _, h := range *d.Results {
			var k int
			fmt.Sscan(h.ID, &k)
			from := func(v [][]float32) float64 { return math.Abs(float64(cosine(v[i], v[k]) - h.Score)) }
			if from(less) > 1e-5 || from(unit) > 1e-5 {
				t.Errorf("%d and %d: cosines %v and %v, the score is %v", i, k, cosine(less[i], less[k]), cosine(unit[i], unit[k]), h.Score)
			}
			apart = max(apart, from(raw))
		}
	}
	if apart < 0.01 {
		t.Errorf("plain cosines are scores, too, but for %v: this shows nothing", apart)
	}
	w := ask(s, "POST", "/similar", fmt.Appendf(nil, `{"vector": [%s]}`, list(unit[0])), "Content-Type", asJSON)
	told(t, "a centred one of length 1", w, 400, problem.BadRequest, "send them as the model gives them, without normalize and center")
}

func list(v []float32) (text string) {
	for i, x := range v {
		if i > 0 {
			text += ","
		}
		text += fmt.Sprint(x)
	}
	return text
}

// Every way to request centred vectors returns the same ones, and the cache keeps the model's raw
// output.
func TestCenter(t *testing.T) {
	s, mean := centered(t)
	file := servertest.Photo(t, 7)
	raw := direct(t, s, file)
	less := slices.Clone(raw)
	stats.Subtract(less, mean)
	unit := slices.Clone(less)
	stats.Unit(unit)
	parts, kind := formOf(t, map[string]string{"center": "true"}, map[string][]byte{"x": file})
	image := string(inputs(file))
	body := func(more string) []byte { return []byte(image[:len(image)-1] + more + "}") }
	for _, c := range []struct {
		name, path, kind string
		body             []byte
		want             []float32
	}{
		{"a parameter", "/embed?center=true", "image/png", file, less},
		{"a part", "/embed", kind, parts, less},
		{"a field", "/embed", asJSON, body(`, "center": true`), less},
		{"of length 1", "/embed?normalize=true", asJSON, body(`, "center": true`), unit},
		{"the body overrules", "/embed?center=true", asJSON, body(`, "center": false`), raw},
		{"plain", "/embed", "image/png", file, raw},
		{"OpenAI", "/v1/embeddings", asJSON, openAIAsk("backbone", `, "center": true, "normalize": true`, file), unit},
		{"OpenAI plain", "/v1/embeddings", asJSON, openAIAsk("backbone", "", file), raw},
	} {
		w := ask(s, "POST", c.path, c.body, "Content-Type", c.kind)
		if got := read[reply](t, w, 200); !close32(numbers(t, got.Data[0].Embedding), c.want, 1e-5) {
			t.Errorf("%s: %.200s", c.name, w.Body)
		}
	}
	w := ask(s, "POST", "/embed?center=yes", file, "Content-Type", "image/png")
	told(t, "neither", w, 400, problem.BadRequest, `center "yes": want true or false`)
}

// With a model that has no mean, centring is refused before any work.
func TestCenterWithoutAMean(t *testing.T) {
	s := start(t, nil)
	w := ask(s, "POST", "/embed?center=true", servertest.Photo(t, 0), "Content-Type", "image/png")
	told(t, "embed", w, 400, problem.BadRequest, "center: this model has no mean to subtract")
	if w.Header().Get("Server-Timing") != "" {
		t.Error("the image was embedded")
	}
	w = ask(s, "POST", "/v1/embeddings", openAIAsk("backbone", `, "center": true`, servertest.Photo(t, 0)), "Content-Type", asJSON)
	if w.Code != 400 {
		t.Errorf("OpenAI: %d %s", w.Code, w.Body)
	}
}
