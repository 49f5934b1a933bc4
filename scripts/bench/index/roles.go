package main

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"os"
	"runtime"
	"strconv"
	"strings"
	"time"

	"vicreg/scripts/bench/peer"
	"vicreg/server/index"
	"vicreg/server/index/filter"
)

// role configures a process: to serve an index, or to be an encoder.
type role struct {
	Model   string // file of the encoder
	Index   string // file
	Binding index.Binding
	Asked   string // file of the query vectors
	Threads int
}

// answer is a side's answer to a command.
type answer struct {
	Name     string  `json:"name,omitempty"`
	N        int     `json:"n"`       // queries searched
	Seconds  float64 `json:"seconds"` // time they took
	Hits     [][]int `json:"hits,omitempty"`
	RSS      float64 `json:"rss,omitempty"`      // bytes
	Sketched float64 `json:"sketched,omitempty"` // seconds spent on sketching the vectors
}

func (a answer) rate() float64 { return float64(a.N) / a.Seconds }

// player is our side: it opens an index and answers the commands of index_faiss.py, and some of its
// own.
type player struct {
	f       *index.File
	queries [][]float32
	next    int
}

func play(text string) error {
	var r role
	if err := json.Unmarshal([]byte(text), &r); err != nil {
		return err
	}
	if r.Model != "" {
		return encodeAlone(r.Model)
	}
	runtime.GOMAXPROCS(r.Threads)
	p, v := &player{}, &embedded{dim: r.Binding.Dim, asked: r.Asked}
	var err error
	if p.queries, err = v.queries(); err != nil {
		return err
	}
	before, err := peer.Resident("self")
	if err != nil {
		return err
	}
	begin := time.Now()
	ctx := context.Background()
	if p.f, err = index.Open(ctx, r.Index, index.Options{Binding: r.Binding, Threads: r.Threads}); err != nil {
		return err
	}
	defer p.f.Close()
	loaded := time.Since(begin).Seconds()
	if err := p.f.Sketch(ctx); err != nil { // as a server does in the background
		return err
	}
	out := json.NewEncoder(os.Stdout)
	if err := out.Encode(answer{Name: "vicreg", N: p.f.Len(), Seconds: loaded, Sketched: time.Since(begin).Seconds() - loaded, RSS: before}); err != nil {
		return err
	}
	for in := bufio.NewScanner(os.Stdin); in.Scan(); {
		a, err := p.command(ctx, strings.Fields(in.Text()))
		if err != nil {
			return fmt.Errorf("%q: %w", in.Text(), err)
		}
		if err := out.Encode(a); err != nil {
			return err
		}
	}
	return nil
}

// command executes a line of input.
func (p *player) command(ctx context.Context, words []string) (a answer, err error) {
	var numbers []float64
	for _, w := range words[1:] {
		x, err := strconv.ParseFloat(w, 64)
		if err != nil {
			break // a filter
		}
		numbers = append(numbers, x)
	}
	switch {
	case words[0] == "single" && len(numbers) == 1:
		return p.timed(ctx, 1, nil, numbers[0])
	case words[0] == "batch" && len(numbers) == 2:
		return p.timed(ctx, int(numbers[0]), nil, numbers[1])
	case words[0] == "filter" && len(numbers) == 1:
		f, err := filter.Parse([]byte(strings.Join(words[2:], " ")))
		if err != nil {
			return a, err
		}
		return p.timed(ctx, 1, f, numbers[0])
	case words[0] == "hits" && len(numbers) == 1:
		a.Hits, err = p.hits(ctx, int(numbers[0]))
	case words[0] == "memory":
		a.RSS, err = peer.Resident("self")
	default:
		err = fmt.Errorf("no such command")
	}
	return a, err
}

// topK is the number of hits requested.
const topK = 10

// timed searches for size vectors at once, cyclically, for at least the given time.
func (p *player) timed(ctx context.Context, size int, f *filter.Filter, seconds float64) (a answer, err error) {
	asked := make([]index.Query, size)
	for begin := time.Now(); a.Seconds < seconds; a.Seconds = time.Since(begin).Seconds() {
		for i := range asked {
			asked[i] = index.Query{Vector: p.queries[p.next%len(p.queries)], K: topK, Filter: f, Bare: true}
			p.next++
		}
		if _, err := p.f.Search(ctx, index.DefaultNamespace, asked...); err != nil {
			return a, err
		}
		a.N += size
	}
	return a, nil
}

// hits returns the numbers of the rows nearest to each of the first count queries.
func (p *player) hits(ctx context.Context, count int) (all [][]int, err error) {
	for _, q := range p.queries[:count] {
		found, err := p.f.Search(ctx, index.DefaultNamespace, index.Query{Vector: q, K: topK})
		if err != nil {
			return nil, err
		}
		var rows []int
		for _, h := range found[0] {
			row, err := strconv.Atoi(h.ID)
			if err != nil {
				return nil, err
			}
			rows = append(rows, row)
		}
		all = append(all, rows)
	}
	return all, nil
}

// ours starts a process that serves an index on the given number of threads.
func (b *bench) ours(path string, threads int) (*peer.Process, answer, error) {
	text, err := json.Marshal(role{Index: path, Binding: b.vectors.binding(), Asked: b.vectors.asked, Threads: threads})
	if err != nil {
		return nil, answer{}, err
	}
	var hello answer
	p, err := peer.Start("vicreg", &hello, os.Args[0], "-role", string(text))
	return p, hello, err
}

// theirs starts a peer over the first n vectors.
func (b *bench) theirs(method string, n, threads int) (*peer.Process, error) {
	center, err := b.vectors.centerFile()
	if err != nil {
		return nil, err
	}
	var hello answer
	p, err := peer.Start(method, &hello, b.python, "scripts/bench/index_faiss.py", method, b.vectors.base, b.vectors.asked, center,
		fmt.Sprint(n), fmt.Sprint(b.vectors.dim), fmt.Sprint(threads))
	if err == nil {
		p.Name = hello.Name
	}
	return p, err
}
