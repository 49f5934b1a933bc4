package main

import (
	"bufio"
	"context"
	"encoding/binary"
	"fmt"
	"io"
	"math"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"

	"vicreg/models/onnx"
	"vicreg/pipeline/encoder"
	"vicreg/pipeline/vectors"
	"vicreg/server/index"
)

// embedded holds the vectors of images by one model, in files that are kept between runs: rows of
// little-endian float32, as the model outputs them.
type embedded struct {
	model       string // file
	fingerprint string
	dim         int
	center      []float32
	base, held  string // files: vectors of the indexed images, and of the held-out ones
	asked       string // file: the queries, chosen from held in random order
}

// openVectors opens a model, or draws one, and locates its vectors.
func openVectors(work, model string) (*embedded, error) {
	if model == "" {
		model = filepath.Join(work, "drawn.onnx")
		if err := drawModel(model, 16); err != nil {
			return nil, err
		}
	}
	file, err := os.ReadFile(model)
	if err != nil {
		return nil, err
	}
	m, err := onnx.Unmarshal(file)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", model, err)
	}
	meta, err := encoder.ReadMetadata(onnx.Metadata(m))
	if err != nil {
		return nil, fmt.Errorf("%s: %w", model, err)
	}
	v := &embedded{model: model, dim: meta.Dim, center: meta.Center}
	if v.fingerprint, err = encoder.Fingerprint(m, meta.Preprocess); err != nil {
		return nil, err
	}
	v.base = filepath.Join(work, "base-"+v.fingerprint+".f32")
	v.held = filepath.Join(work, "held-"+v.fingerprint+".f32")
	v.asked = filepath.Join(work, "asked-"+v.fingerprint+".f32")
	return v, nil
}

// mostAsked limits the number of query images; they are not in the index.
const mostAsked = 1000

// prepare makes the vectors that the other cases use, unless they exist.
func prepare(ctx context.Context, b *bench) error {
	for _, n := range b.sizes() {
		if err := b.need(ctx, n); err != nil {
			return err
		}
	}
	say("%d vectors of %d numbers, and %d to search for", b.vectors.rows(b.vectors.base), b.vectors.dim, b.vectors.rows(b.vectors.asked))
	return nil
}

// need ensures that there are n vectors to index, and the queries.
func (b *bench) need(ctx context.Context, n int) error {
	if err := b.vectors.grow(ctx, b.vectors.base, b.images, min(n, b.real)); err != nil {
		return err
	}
	if err := b.vectors.mix(b.vectors.base, n); err != nil {
		return err
	}
	if err := b.vectors.grow(ctx, b.vectors.held, b.held, 1); err != nil {
		return err
	}
	return b.vectors.choose()
}

// choose draws the queries at random, since the images are sorted by class.
func (v *embedded) choose() error {
	var all [][]float32
	err := v.read(v.held, v.rows(v.held), func(_ int, x []float32) error {
		all = append(all, slices.Clone(x))
		return nil
	})
	if err != nil {
		return err
	}
	var chosen []byte
	for _, i := range rand.New(rand.NewPCG(1, 1)).Perm(len(all))[:min(mostAsked, len(all))] {
		chosen = vectors.Append(chosen, all[i])
	}
	return os.WriteFile(v.asked, chosen, 0o666)
}

// rows returns the number of vectors in a file, 0 if it does not exist.
func (v *embedded) rows(path string) int {
	info, err := os.Stat(path)
	if err != nil {
		return 0
	}
	return int(info.Size()) / (4 * v.dim)
}

// read calls each with the first n vectors of a file, in order. The vector is valid during the
// call.
func (v *embedded) read(path string, n int, each func(i int, x []float32) error) error {
	f, err := os.Open(path)
	if err != nil {
		return err
	}
	defer f.Close()
	in, row, x := bufio.NewReaderSize(f, 1<<20), make([]byte, 4*v.dim), make([]float32, v.dim)
	for i := range n {
		if _, err := io.ReadFull(in, row); err != nil {
			return fmt.Errorf("read vector %d of %s: %w", i, path, err)
		}
		for j := range x {
			x[j] = math.Float32frombits(binary.LittleEndian.Uint32(row[4*j:]))
		}
		if err := each(i, x); err != nil {
			return err
		}
	}
	return nil
}

// queries returns the query vectors.
func (v *embedded) queries() (all [][]float32, err error) {
	err = v.read(v.asked, v.rows(v.asked), func(_ int, x []float32) error {
		all = append(all, slices.Clone(x))
		return nil
	})
	return all, err
}

// binding describes what an index of these vectors is bound to.
func (v *embedded) binding() index.Binding {
	return index.Bind(v.fingerprint, v.dim, v.center)
}

// centerFile writes the centre for the peers and returns its path.
func (v *embedded) centerFile() (string, error) {
	path := v.base + ".center"
	return path, os.WriteFile(path, vectors.Append(nil, v.center), 0o666)
}

// unit converts a vector to the form in which it is compared, in double precision: minus the
// centre, and of length 1.
func (v *embedded) unit(dst []float64, x []float32) {
	sum := 0.0
	for i := range dst {
		dst[i] = float64(x[i]) - float64(v.center[i])
		sum += dst[i] * dst[i]
	}
	for i := range dst {
		dst[i] /= math.Sqrt(sum)
	}
}
