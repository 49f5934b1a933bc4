package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"sync/atomic"
	"time"

	"golang.org/x/sync/errgroup"

	"vicreg/models/ort"
	"vicreg/pipeline/dataset"
	"vicreg/pipeline/encoder"
	"vicreg/pipeline/imaging"
	"vicreg/pipeline/vectors"
)

// blockSize is the batch size for encoding, on one thread.
const blockSize = 50

// viewsRecipe derives further images from one: other crops, and mirrored ones.
const viewsRecipe = "area=0.3:1,jitter=0,grey=0,blur=0,solarise=0"

// views embeds images in passes: first the full images, then a new view of each per pass.
type views struct {
	enc    *encoder.Encoder
	set    *dataset.Set
	reader *dataset.Reader
	recipe imaging.Recipe
}

// grow appends passes over a folder's images to a file until it has n vectors. An unfinished pass
// is redone.
func (v *embedded) grow(ctx context.Context, path, images string, n int) error {
	if v.rows(path) >= n {
		return nil
	}
	m, err := openViews(ctx, v.model, images)
	if err != nil {
		return err
	}
	defer m.enc.Close()
	f, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE, 0o666)
	if err != nil {
		return err
	}
	defer f.Close()
	each := m.set.Len()
	begin, from := time.Now(), v.rows(path)/each
	for pass := from; pass*each < n; pass++ {
		y, err := m.pass(ctx, pass)
		if err != nil {
			return err
		}
		if _, err := f.WriteAt(vectors.Append(nil, y), int64(4*v.dim*each*pass)); err != nil {
			return err
		}
		made := (pass + 1 - from) * each
		fmt.Fprintf(os.Stderr, "embedded %d images and views, %.0f a second\n", (pass+1)*each, float64(made)/time.Since(begin).Seconds())
	}
	return f.Close()
}

func openViews(ctx context.Context, model, images string) (*views, error) {
	set, err := dataset.Open(ctx, images, dataset.Options{Index: dataset.NoIndex})
	if err != nil {
		return nil, err
	}
	recipe, err := imaging.RecipeNamed("cifar")
	if err != nil {
		return nil, err
	}
	if err := recipe.Set(viewsRecipe); err != nil {
		return nil, err
	}
	lib, err := openRuntime()
	if err != nil {
		return nil, err
	}
	more := make([]ort.Options, ort.Cores()-1) // one session per core is faster than one on all cores
	for i := range more {
		more[i].Threads = 1
	}
	enc, err := encoder.Open(lib, model, ort.Options{Threads: 1}, more...)
	if err != nil {
		return nil, err
	}
	return &views{enc, set, dataset.NewReader(set, dataset.ReaderConfig{CacheBytes: 1 << 30}), recipe}, nil
}

// pass returns the vectors of one view of every image.
func (m *views) pass(ctx context.Context, number int) ([]float32, error) {
	n := m.set.Len()
	y := make([]float32, n*m.enc.Dim())
	var next atomic.Int64
	group, ctx := errgroup.WithContext(ctx)
	for w := range ort.Cores() {
		group.Go(func() error {
			var scratch imaging.Scratch
			for {
				first := int(next.Add(blockSize)) - blockSize
				if first >= n {
					return nil
				}
				if err := m.block(ctx, m.enc.On(w), y, number, first, min(first+blockSize, n), &scratch); err != nil {
					return err
				}
			}
		})
	}
	return y, group.Wait()
}

// block embeds the images first to last-1.
func (m *views) block(ctx context.Context, enc *encoder.Encoder, all []float32, number, first, last int, scratch *imaging.Scratch) error {
	size := enc.Size()
	pixels := make([]uint8, 3*size*size*(last-first))
	for i := first; i < last; i++ {
		picture, err := m.reader.Image(i)
		if err != nil {
			return err
		}
		dst := pixels[3*size*size*(i-first):][:3*size*size]
		if number == 0 {
			imaging.Evaluate(picture, dst, enc.Metadata().Preprocess, scratch)
		} else {
			imaging.Apply(m.recipe.Draw(1, number, m.set.Key(i), 0), picture, dst, size, scratch)
		}
	}
	y, err := enc.Encode(ctx, pixels, last-first)
	if err != nil {
		return err
	}
	for _, x := range y {
		if x-x != 0 {
			return errors.New("the model's vectors are not finite")
		}
	}
	copy(all[first*enc.Dim():], y)
	return nil
}
