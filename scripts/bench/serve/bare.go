package main

import (
	"bufio"
	"encoding/json"
	"fmt"
	"os"
	"slices"
	"time"

	"vicreg/models"
	"vicreg/models/ort"
	"vicreg/models/tensor"
	"vicreg/scripts/bench/peer"
)

// bareSizes are the batch sizes tried on the host; a device gets larger ones, too.
var (
	bareSizes       = []int{1, 2, 4, 8, 16, 32}
	bareDeviceSizes = append(slices.Clone(bareSizes), 64, 128, 256)
)

// bare is the model without a server: prepared pixels, one call after another.
type bare struct {
	session *ort.Session
	side    int
}

// bareSession is that side of the comparison, as a process: it answers "SIZE SECONDS" with the
// images per second in batches of that size.
func bareSession(path, device string, threads int) error {
	file, err := os.ReadFile(path)
	if err != nil {
		return err
	}
	d, err := ort.ParseDevice(device)
	if err != nil {
		return err
	}
	library, err := ort.FindFor("", d)
	if err != nil {
		return err
	}
	runtime, err := ort.Open(library)
	if err != nil {
		return err
	}
	s, err := runtime.NewSession(file, ort.Options{Device: d, Threads: threads})
	if err != nil {
		return err
	}
	defer s.Close()
	b := bare{s, s.Inputs()[0].Shape[1]}
	fmt.Println("{}")
	for in := bufio.NewScanner(os.Stdin); in.Scan(); {
		var size int
		var seconds float64
		if _, err := fmt.Sscan(in.Text(), &size, &seconds); err != nil {
			return fmt.Errorf("%q: %w", in.Text(), err)
		}
		rate, err := b.rate(size, time.Duration(seconds*float64(time.Second)))
		if err != nil {
			return err
		}
		if err := json.NewEncoder(os.Stdout).Encode(rate); err != nil {
			return err
		}
	}
	return nil
}

// rate runs batches of a size for a given time, after one warm-up run.
func (b bare) rate(size int, length time.Duration) (float64, error) {
	pixels := make([]uint8, size*b.side*b.side*3)
	for i := range pixels {
		pixels[i] = uint8(i * 2654435761 >> 13)
	}
	in := tensor.Batch{models.Pixels: tensor.Of(pixels, size, b.side, b.side, 3)}
	if _, err := b.session.Run(in); err != nil {
		return 0, err
	}
	begin, runs := time.Now(), 0
	for ; runs == 0 || time.Since(begin) < length; runs++ {
		if _, err := b.session.Run(in); err != nil {
			return 0, err
		}
	}
	return float64(runs*size) / time.Since(begin).Seconds(), nil
}

// bareSide is the process of a bare session and its best batch size.
type bareSide struct {
	process *peer.Process
	size    int
}

// startBare starts the bare session of a model and finds its best batch size.
func (b *bench) startBare(model string) (*bareSide, error) {
	p, err := peer.Start("the bare session", nil, os.Args[0], "-bare", model, "-device", b.device, "-threads", fmt.Sprint(b.threads))
	if err != nil {
		return nil, err
	}
	side, best, sizes := &bareSide{process: p}, 0.0, bareSizes
	if !b.onHost() {
		sizes = bareDeviceSizes
	}
	if b.quick {
		sizes = sizes[:3]
	}
	for _, size := range slices.Concat(sizes, sizes) { // twice, as the machine may be busy the first time
		rate, err := side.at(size, b.turn/10)
		if err != nil {
			p.Stop()
			return nil, err
		}
		if rate > best {
			side.size, best = size, rate
		}
	}
	return side, nil
}

// at returns the throughput at one batch size.
func (s *bareSide) at(size int, length time.Duration) (rate float64, err error) {
	return rate, s.process.Ask(fmt.Sprintf("%d %g", size, length.Seconds()), &rate)
}
