package pipeline

import (
	"errors"
	"fmt"
	"math"

	"vicreg/models"
	"vicreg/models/ort"
	"vicreg/models/tensor"
	"vicreg/pipeline/dataset"
	"vicreg/pipeline/imaging"
	"vicreg/pipeline/stats"
)

// maxWatched bounds the held-out images measured before the first epoch and after each.
const maxWatched = 1024

// watch measures the held-out images with the eval graph: two fixed views of each, the loss with
// running statistics, and the health of the embeddings.
type watch struct {
	open    func() (*ort.Session, error)
	session *ort.Session // on a device, nil between measurements
	reader  *dataset.Reader
	params  map[string]bool
	batches []tensor.Batch
	config  *Config
}

// newWatch prepares the views of the held-out images; it returns nil if fewer than two are held
// out. They are always measured in float32, in batches of the given size.
func newWatch(lib *ort.Runtime, c *Config, opt ort.Options, held *dataset.Set, batch int) (*watch, error) {
	batch = min(batch, held.Len())
	if batch < 2 {
		return nil, nil
	}
	g := c.graphs(0)
	g.Batch = batch
	a, err := models.Eval(g)
	if err != nil {
		return nil, err
	}
	w := &watch{config: c, params: map[string]bool{}, reader: dataset.NewReader(held, dataset.ReaderConfig{Limits: c.Limits(), Conversion: c.Conversion, MaxBad: 1})}
	for _, p := range a.Params {
		w.params[p.Name] = true
	}
	model, err := a.Graph.Marshal()
	if err != nil {
		return nil, err
	}
	w.open = func() (*ort.Session, error) { return lib.NewSession(model, opt) }
	// A session keeps the device memory it has allocated, which the training step needs: on a
	// device it is only open during measurements, which costs half a second per epoch. Here it is
	// opened to fail early.
	if w.session, err = w.open(); err != nil {
		return nil, err
	}
	if opt.Device.Kind != tensor.Host {
		if err := w.Close(); err != nil {
			return nil, err
		}
	}
	return w, w.load(min(held.Len(), maxWatched)/batch, batch)
}

// load makes the views of images spaced evenly over the held-out ones. They are drawn as in epoch
// -1, which no training step sees.
func (w *watch) load(batches, batch int) error {
	set, scratch := w.reader.Set(), new(imaging.Scratch)
	size := 3 * w.config.Size * w.config.Size
	for b := range batches {
		views := [2]*tensor.Tensor{}
		for v := range views {
			views[v] = tensor.New(tensor.Uint8, batch, w.config.Size, w.config.Size, 3)
		}
		for row := range batch {
			i := (b*batch + row) * set.Len() / (batches * batch)
			m, err := w.reader.Substitute(i)
			if err != nil {
				return fmt.Errorf("held-out images: %w", err)
			}
			for v := range views {
				p := w.config.Recipe.Draw(w.config.Seed, -1, set.Key(i), v)
				imaging.Apply(p, m, views[v].Data.([]uint8)[row*size:][:size], w.config.Size, scratch)
			}
		}
		w.batches = append(w.batches, tensor.Batch{models.View1: views[0], models.View2: views[1]})
	}
	return nil
}

// measure computes the health of the held-out images in the given state.
func (w *watch) measure(state map[string]*tensor.Tensor) (h Health, err error) {
	if w.session == nil {
		if w.session, err = w.open(); err != nil {
			return h, fmt.Errorf("held-out images: %w", err)
		}
		defer func() { err = errors.Join(err, w.Close()) }()
	}
	var y, z, z2 []float32
	for _, b := range w.batches {
		in := tensor.Batch{models.View1: b[models.View1], models.View2: b[models.View2]}
		for name := range w.params {
			in[name] = state[name]
		}
		out, err := w.session.Run(in)
		if err != nil {
			return h, fmt.Errorf("held-out images: %w", err)
		}
		n := float64(len(w.batches))
		h.Invariance += float64(out["invariance"].Float32()[0]) / n
		h.Variance += float64(out["variance"].Float32()[0]) / n
		h.Covariance += w.covariance(out) / n
		y = append(y, out[models.Representation1].Float32()...)
		z = append(z, out[models.Embedding1].Float32()...)
		z2 = append(z2, out[models.Embedding2].Float32()...)
	}
	rows := len(w.batches) * w.batches[0][models.View1].Shape[0]
	rep, a, b := stats.Of(y, rows, len(y)/rows), stats.Of(z, rows, len(z)/rows), stats.Of(z2, rows, len(z2)/rows)
	h.Spread = stats.NormalizedStd(a) * math.Sqrt(float64(a.D))
	h.Rank = stats.RankMe(rep)
	alignment := stats.Align(a, b)
	h.Alignment, h.Retrieval = alignment.Cosine, alignment.Retrieval
	h.Images, h.Of, h.MostRank = rows, w.reader.Set().Len(), min(rep.N, rep.D)
	l := w.config.Loss
	h.Loss = l.Invariance*h.Invariance + l.Variance*h.Variance + l.Covariance*h.Covariance
	return h, nil
}

// covariance is the covariance term of a batch of held-out images converted to training's batch
// size; with very few images it is returned unchanged.
func (w *watch) covariance(out map[string]*tensor.Tensor) float64 {
	found := float64(out["covariance"].Float32()[0])
	n := out[models.Embedding1].Shape[0]
	if n < fewWatched || n == w.config.Batch {
		return found
	}
	var pairs float64
	for _, name := range []string{models.Embedding1, models.Embedding2} {
		z := out[name]
		pairs += stats.VariancePairs(stats.Of(z.Float32(), n, z.Shape[1]))
	}
	return stats.CovarianceTermAt(found, pairs, n, w.config.Batch)
}

// Close releases the session, if there is one.
func (w *watch) Close() error {
	if w.session == nil {
		return nil
	}
	s := w.session
	w.session = nil
	return s.Close()
}
