package main

import (
	"bufio"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"

	"vicreg/pipeline/vectors"
)

// mix appends mixtures of two of the vectors in a file until it has n: they lie between images as
// images do, and take only seconds. They serve to measure the speed of a large index; the quality
// of results is judged on real vectors.
func (v *embedded) mix(path string, n int) (err error) {
	there := v.rows(path)
	if there >= n {
		return nil
	}
	real := make([]float32, 0, there*v.dim)
	err = v.read(path, there, func(_ int, x []float32) error {
		real = append(real, x...)
		return nil
	})
	if err != nil {
		return err
	}
	f, err := os.OpenFile(path, os.O_WRONLY|os.O_APPEND, 0)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, f.Close()) }()
	out := bufio.NewWriterSize(f, 1<<20)
	random := rand.New(rand.NewPCG(3, 3))
	x, row := make([]float32, v.dim), []byte(nil)
	for range n - there {
		a, b := random.IntN(there)*v.dim, random.IntN(there)*v.dim
		share := 0.6 + 0.3*random.Float32()
		for j := range x {
			x[j] = share*real[a+j] + (1-share)*real[b+j]
		}
		if _, err := out.Write(vectors.Append(row[:0], x)); err != nil {
			return err
		}
	}
	fmt.Fprintf(os.Stderr, "mixed %d vectors of %d\n", n-there, there)
	return out.Flush()
}
