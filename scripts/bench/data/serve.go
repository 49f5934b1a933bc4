package main

import (
	"bufio"
	"encoding/json"
	"fmt"
	"io/fs"
	"math"
	"os"
	"path/filepath"
	"runtime"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"vicreg/pipeline/imaging"
)

// picture is a file and, for counting allocations, its pixels.
type picture struct {
	name string
	data []byte
	rgb  imaging.RGB
}

// worker is the state of one thread of the loader or of the server.
type worker struct {
	decoder imaging.Decoder
	scratch imaging.Scratch
	rgb     imaging.RGB
	out     [2][]uint8
}

// job processes one decoded image as its case requires, into the worker's out.
type job func(w *worker, m *imaging.RGB, name string, epoch int)

func views(recipe string, size int) (job, error) {
	r, err := imaging.RecipeNamed(recipe)
	return func(w *worker, m *imaging.RGB, name string, epoch int) {
		for v := range w.out {
			imaging.Apply(r.Draw(1, epoch, name, v), m, w.out[v], size, &w.scratch)
		}
	}, err
}

var serving = imaging.Preprocess{Resize: 256, Crop: 224, Interpolation: "bicubic"}

func preprocess(w *worker, m *imaging.RGB, _ string, _ int) {
	imaging.Evaluate(m, w.out[0], serving, &w.scratch)
}

// ours is our side: it answers on standard output as data_torch.py does, and supports further
// commands: scale1 and scale2 are views224 with that many workers; allocs counts the allocations
// per image from its pixels on, allocs-decode those from its bytes on.
func ours(photos, small string) error {
	var s side
	var err error
	if s.photos, err = read(photos); err != nil {
		return err
	}
	if s.small, err = read(small); err != nil {
		return err
	}
	if s.views224, err = views("imagenet", 224); err != nil {
		return err
	}
	if s.views32, err = views("cifar", 32); err != nil {
		return err
	}
	for i := range s.workers {
		w := &s.workers[i]
		w.out = [2][]uint8{make([]uint8, 3*224*224), make([]uint8, 3*224*224)}
	}
	fmt.Printf("{\"name\": %q}\n", filepath.Base(os.Args[0])+" build")
	for in := bufio.NewScanner(os.Stdin); in.Scan(); {
		var name string
		var first, count int
		fmt.Sscan(in.Text(), &name, &first, &count)
		a, err := s.answer(name, first, count)
		if err != nil {
			return fmt.Errorf("%s: %w", in.Text(), err)
		}
		if err := json.NewEncoder(os.Stdout).Encode(a); err != nil {
			return err
		}
	}
	return nil
}

type side struct {
	photos, small     []picture
	views224, views32 job
	workers           [2]worker
	epoch             int
}

func (s *side) answer(name string, first, count int) (answer, error) {
	s.epoch++
	switch name {
	case "views224", "scale1":
		return s.run(1, s.photos, s.views224, first, count)
	case "scale2":
		return s.run(2, s.photos, s.views224, first, count)
	case "views32":
		return s.run(1, s.small, s.views32, first, count)
	case "serve":
		return s.run(1, s.photos, preprocess, first, count)
	case "allocs":
		return s.allocs(false)
	case "allocs-decode":
		return s.allocs(true)
	}
	return answer{}, fmt.Errorf("unknown case")
}

// run measures how long the workers take for count images.
func (s *side) run(workers int, from []picture, do job, first, count int) (answer, error) {
	runtime.GOMAXPROCS(workers)
	var next atomic.Int64
	var failed atomic.Pointer[error]
	begin, used := time.Now(), processorTime()
	var group sync.WaitGroup
	for i := range workers {
		group.Go(func() {
			for {
				n := int(next.Add(1)) - 1
				if n >= count {
					return
				}
				if err := s.workers[i].one(&from[(first+n)%len(from)], do, s.epoch); err != nil {
					failed.Store(&err)
				}
			}
		})
	}
	group.Wait()
	if err := failed.Load(); err != nil {
		return answer{}, *err
	}
	return answer{Ms: time.Since(begin).Seconds() * 1000, CPU: processorTime() - used}, nil
}

// processorTime returns this process's CPU time so far, in milliseconds.
func processorTime() float64 {
	var u syscall.Rusage
	if syscall.Getrusage(syscall.RUSAGE_SELF, &u) != nil {
		return math.NaN()
	}
	return float64(u.Utime.Nano()+u.Stime.Nano()) / 1e6
}

func (w *worker) one(p *picture, do job, epoch int) error {
	if err := w.decoder.Decode(&w.rgb, p.data, imaging.Limits{}); err != nil {
		return fmt.Errorf("%s: %w", p.name, err)
	}
	do(w, &w.rgb, p.name, epoch)
	return nil
}

// allocs counts the allocations per image of two views and of serving, after a first pass over all
// images, with or without those of decoding.
func (s *side) allocs(decode bool) (a answer, err error) {
	w := &s.workers[0]
	for i := range s.photos {
		if err := w.decoder.Decode(&s.photos[i].rgb, s.photos[i].data, imaging.Limits{}); err != nil {
			return a, err
		}
	}
	a.Allocs = testing.AllocsPerRun(3, func() {
		for i := range s.photos {
			p := &s.photos[i]
			m := &p.rgb
			if decode {
				m = &w.rgb
				err = w.decoder.Decode(m, p.data, imaging.Limits{})
			}
			s.views224(w, m, p.name, 1)
			preprocess(w, m, p.name, 1)
		}
	})
	a.Allocs /= float64(len(s.photos))
	return a, err
}

// read reads about 500 evenly spaced files below a folder, in the order of their paths.
func read(folder string) (all []picture, err error) {
	err = filepath.WalkDir(folder, func(path string, d fs.DirEntry, err error) error {
		if err == nil && filepath.Ext(path) == ".jpg" {
			all = append(all, picture{name: path})
		}
		return err
	})
	if err != nil || len(all) == 0 {
		return nil, fmt.Errorf("no JPEG files in %s: %v", folder, err)
	}
	step := max(1, len(all)/500)
	for i := 0; i < len(all); i += step {
		p := all[i]
		if p.data, err = os.ReadFile(p.name); err != nil {
			return nil, err
		}
		all[i/step] = p
	}
	return all[:(len(all)+step-1)/step], nil
}
