// Samples draws a small set of labelled images to try the project on: ten kinds of shapes and
// patterns, one folder per kind, with random position, size and rotation, mostly in about their
// kind's hue, on uneven ground and with noise. Equal arguments produce equal bytes.
//
//	go run ./scripts/samples -out DIR [-n 2000] [-size 48] [-seed 1]
package main

import (
	"bytes"
	"flag"
	"fmt"
	"image"
	"image/jpeg"
	"image/png"
	"io"
	"math/rand/v2"
	"os"
	"path/filepath"
	"runtime"

	"golang.org/x/sync/errgroup"
)

func main() {
	if err := run(os.Args[1:], os.Stdout); err != nil {
		fmt.Fprintln(os.Stderr, "samples:", err)
		os.Exit(2)
	}
}

func run(args []string, stdout io.Writer) error {
	flags := flag.NewFlagSet("samples", flag.ContinueOnError)
	out := flags.String("out", "", "folder to write to, made when it does not exist")
	n := flags.Int("n", 2000, "number of pictures, spread evenly over the kinds")
	size := flags.Int("size", 48, "width and height in pixels")
	seed := flags.Uint64("seed", 1, "another seed gives other pictures")
	if err := flags.Parse(args); err != nil {
		return err
	}
	switch {
	case *out == "" || flags.NArg() > 0:
		return fmt.Errorf("usage: samples -out DIR [-n 2000] [-size 48] [-seed 1]")
	case *n < 1 || *size < 8 || *size > 1024:
		return fmt.Errorf("cannot draw %d pictures of %d pixels (at least 1, of 8 to 1024)", *n, *size)
	}
	if err := write(*out, *n, *size, *seed); err != nil {
		return err
	}
	fmt.Fprintf(stdout, "drew %d pictures of %d kinds in %s\n", *n, min(len(kinds), *n), *out)
	return nil
}

// write draws image i of kind i mod 10. Each has its own random stream, so that its bytes depend
// neither on the number of processors nor on n.
func write(out string, n, size int, seed uint64) error {
	for _, k := range kinds[:min(len(kinds), n)] {
		if err := os.MkdirAll(filepath.Join(out, k.name), 0o755); err != nil {
			return fmt.Errorf("make the folder of a kind: %w", err)
		}
	}
	var group errgroup.Group
	group.SetLimit(runtime.GOMAXPROCS(0))
	for i := range n {
		group.Go(func() error {
			k := kinds[i%len(kinds)]
			m := draw(k, size, rand.New(rand.NewPCG(seed, uint64(i))))
			return save(filepath.Join(out, k.name, fmt.Sprintf("%s-%05d", k.name, i/len(kinds))), m, i)
		})
	}
	return group.Wait()
}

// save writes two out of three images as JPEG and the third as PNG.
func save(path string, m image.Image, i int) error {
	var b bytes.Buffer
	var err error
	if i%3 == 2 {
		path, err = path+".png", png.Encode(&b, m)
	} else {
		path, err = path+".jpg", jpeg.Encode(&b, m, &jpeg.Options{Quality: 90})
	}
	if err != nil {
		return fmt.Errorf("encode %s: %w", path, err)
	}
	if err := os.WriteFile(path, b.Bytes(), 0o644); err != nil {
		return fmt.Errorf("write a picture: %w", err)
	}
	return nil
}
