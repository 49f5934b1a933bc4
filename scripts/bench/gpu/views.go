package main

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"math/rand/v2"
	"os"
	"path/filepath"

	"vicreg/models"
	"vicreg/models/tensor"
	"vicreg/pipeline/dataset"
	"vicreg/pipeline/imaging"
)

// cifar returns a folder of CIFAR-10, "train" or "test".
func (b *bench) cifar(part string) (string, error) {
	dir := filepath.Join(b.data, "cifar", part)
	if info, err := os.Stat(dir); b.data == "" || err != nil || !info.IsDir() {
		return "", fmt.Errorf("%w: no cifar/%s in the data folder %q", errSkipped, part, b.data)
	}
	return dir, nil
}

// loader makes the views of a vicreg train run on CIFAR-10 with these settings and no holdout.
func (b *bench) loader(ctx context.Context, dir string, c dataset.LoaderConfig) (*dataset.Loader, error) {
	set, err := dataset.Open(ctx, dir, dataset.Options{})
	if err != nil {
		return nil, err
	}
	if c.Recipe, err = imaging.RecipeNamed("cifar"); err != nil {
		return nil, err
	}
	return dataset.NewLoader(ctx, dataset.NewReader(set, dataset.ReaderConfig{CacheBytes: 1 << 30}), c)
}

// noise returns batches of random pixels, all different.
func noise(n, size, count int) (all []tensor.Batch) {
	r := rand.New(rand.NewPCG(1, 2))
	for range count {
		b := tensor.Batch{models.View1: tensor.New(tensor.Uint8, n, size, size, 3), models.View2: tensor.New(tensor.Uint8, n, size, size, 3)}
		for _, view := range []string{models.View1, models.View2} {
			pixels := b[view].Data.([]uint8)
			for i := range pixels {
				pixels[i] = uint8(r.Uint32())
			}
		}
		all = append(all, b)
	}
	return all
}

// batches returns the first batches of an epoch of CIFAR-10, or noise if it is not available.
func (b *bench) batches(ctx context.Context, n, size, count int) (all []tensor.Batch, err error) {
	dir, err := b.cifar("train")
	if errors.Is(err, errSkipped) {
		say("no images: the batches are noise")
		return noise(n, size, count), nil
	}
	if err != nil {
		return nil, err
	}
	l, err := b.loader(ctx, dir, dataset.LoaderConfig{Batch: n, Size: size, Seed: 1, Epochs: 1})
	if err != nil {
		return nil, err
	}
	defer l.Close()
	for len(all) < count {
		batch, err := l.Next()
		if err != nil {
			return nil, err
		}
		all = append(all, tensor.Batch{models.View1: batch.Tensors[models.View1].Clone(), models.View2: batch.Tensors[models.View2].Clone()})
		l.Release(batch)
	}
	return all, nil
}

// excerpt makes a folder of links to the first images of each class, about n in total.
func (b *bench) excerpt(dir string, n int) (string, error) {
	to := filepath.Join(b.work, fmt.Sprintf("%s-%d", filepath.Base(dir), n))
	kinds, err := os.ReadDir(dir)
	if err != nil {
		return "", err
	}
	for _, kind := range kinds {
		files, err := os.ReadDir(filepath.Join(dir, kind.Name()))
		if err != nil {
			return "", err
		}
		if err := os.MkdirAll(filepath.Join(to, kind.Name()), 0o777); err != nil {
			return "", err
		}
		for _, f := range files[:min(len(files), max(n/len(kinds), 1))] {
			err := os.Link(filepath.Join(dir, kind.Name(), f.Name()), filepath.Join(to, kind.Name(), f.Name()))
			if err != nil && !errors.Is(err, fs.ErrExist) {
				return "", err
			}
		}
	}
	return to, nil
}

// copyViews copies views into a stepper's batch, which has further inputs.
func copyViews(to, views tensor.Batch) error {
	for name, v := range views {
		if err := to[name].CopyFrom(v); err != nil {
			return err
		}
	}
	return nil
}
