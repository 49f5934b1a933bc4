// Command int8 measures the gain of integer arithmetic: images per second of a network in 8-bit
// integers relative to the same in float32, in turns.
package main

import (
	"context"
	"flag"
	"fmt"
	"math/rand/v2"
	"os"
	"os/signal"
	"time"

	"vicreg/models"
	"vicreg/models/onnx"
	"vicreg/models/ort"
	"vicreg/models/quantize"
	"vicreg/models/tensor"
	"vicreg/scripts/bench/networks"
	"vicreg/scripts/bench/peer"
)

func main() {
	quick := flag.Bool("quick", false, "few rounds, and no ResNet-50")
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	if err := run(ctx, *quick); err != nil {
		fmt.Fprintln(os.Stderr, "int8:", err)
		os.Exit(1)
	}
}

const side = 224

func run(ctx context.Context, quick bool) error {
	path, err := ort.Find("")
	if err != nil {
		return err
	}
	lib, err := ort.Open(path)
	if err != nil {
		return err
	}
	names, rounds := []string{"resnet18", "resnet50"}, 15
	if quick {
		names, rounds = names[:1], 3
	}
	var figures peer.Figures
	for _, name := range names {
		full, err := networks.ResNet(name, 64, 256, side, 1)
		if err != nil {
			return err
		}
		small, err := integers(ctx, lib, full)
		if err != nil {
			return err
		}
		size, err := sizes(full, small)
		if err != nil {
			return err
		}
		figures.Add(name+"_size", size)
		for _, threads := range []int{1, 2} {
			for _, batch := range []int{1, 8} {
				f, i, err := race(ctx, lib, full, small, threads, batch, rounds)
				if err != nil {
					return err
				}
				fmt.Printf("%s, %d threads, batches of %d: %.1f images/s in float32, %.1f in int8\n", name, threads, batch, 1/f, 1/i)
				key := fmt.Sprintf("%s_t%d_b%d", name, threads, batch)
				figures.Add(key, f/i)
				figures.Add(key+"_images", 1/i)
			}
		}
	}
	fmt.Printf("bench int8 ratio=%s%s\n", figures.Least("resnet18_t2_b1", "resnet18_t2_b8", "resnet50_t2_b1", "resnet50_t2_b8"), figures.Line())
	return nil
}

func pixels(n int) *tensor.Tensor {
	r := rand.New(rand.NewPCG(1, uint64(n)))
	p := make([]uint8, n*side*side*3)
	for i := range p {
		p[i] = uint8(r.Uint32())
	}
	return tensor.Of(p, n, side, side, 3)
}

// integers quantises a model to int8, calibrated on a batch of noise.
func integers(ctx context.Context, lib *ort.Runtime, full *onnx.ModelProto) (*onnx.ModelProto, error) {
	values, err := quantize.Values(full)
	if err != nil {
		return nil, err
	}
	observed, err := quantize.Observe(full, values)
	if err != nil {
		return nil, err
	}
	out, err := once(ctx, lib, observed, pixels(4))
	if err != nil {
		return nil, err
	}
	ranges := map[string]quantize.Range{}
	quantize.Add(ranges, values, out)
	return quantize.Int8(full, ranges)
}

func once(ctx context.Context, lib *ort.Runtime, m *onnx.ModelProto, x *tensor.Tensor) (tensor.Batch, error) {
	s, err := session(lib, m, 2)
	if err != nil {
		return nil, err
	}
	defer s.Close()
	return s.RunContext(ctx, tensor.Batch{models.Pixels: x})
}

func session(lib *ort.Runtime, m *onnx.ModelProto, threads int) (*ort.Session, error) {
	file, err := onnx.Marshal(m)
	if err != nil {
		return nil, err
	}
	return lib.NewSession(file, ort.Options{Threads: threads})
}

// sizes returns the file size of small relative to that of full.
func sizes(full, small *onnx.ModelProto) (float64, error) {
	f, err := onnx.Marshal(full)
	if err != nil {
		return 0, err
	}
	s, err := onnx.Marshal(small)
	return float64(len(s)) / float64(len(f)), err
}

// race returns the median time per image of each model.
func race(ctx context.Context, lib *ort.Runtime, full, small *onnx.ModelProto, threads, batch, rounds int) (f, i float64, err error) {
	var times [2][]float64
	var sessions [2]*ort.Session
	for k, m := range []*onnx.ModelProto{full, small} {
		if sessions[k], err = session(lib, m, threads); err != nil {
			return 0, 0, err
		}
		defer sessions[k].Close()
	}
	x := pixels(batch)
	for round := range rounds + 1 {
		for k, s := range sessions {
			begin := time.Now()
			if _, err := s.RunContext(ctx, tensor.Batch{models.Pixels: x}); err != nil {
				return 0, 0, err
			}
			if round > 0 { // the first one allocates
				times[k] = append(times[k], time.Since(begin).Seconds()/float64(batch))
			}
		}
	}
	return peer.Median(times[0]), peer.Median(times[1]), nil
}
