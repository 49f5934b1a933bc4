package index_test

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"slices"
	"strconv"
	"strings"
	"testing"

	"golang.org/x/sync/errgroup"

	"vicreg/server/index"
	"vicreg/server/index/indextest"
)

// The test binary runs itself as the process that is killed or traced.
const (
	childEnv = "VICREG_TEST_INDEX_CHILD" // what to do: mixed, sequential or together
	pathEnv  = "VICREG_TEST_INDEX_PATH"
	roundEnv = "VICREG_TEST_INDEX_ROUND"
)

func TestMain(m *testing.M) {
	if os.Getenv(childEnv) == "" {
		os.Exit(m.Run())
	}
	if os.Getenv(childEnv) == "mixed" {
		go func() { // the parent holds the other end: EOF means that it is gone
			io.Copy(io.Discard, os.Stdin)
			os.Exit(2)
		}()
	}
	if err := child(context.Background()); err != nil {
		fmt.Println("wrong:", err)
		os.Exit(1)
	}
}

const (
	childDim     = 64
	childWorkers = 4
	roundLength  = 1 << 20 // a call's number is round*roundLength plus the number of calls before it
)

func childBinding() index.Binding {
	return index.Binding{Fingerprint: "made-up", Dim: childDim, Center: make([]float32, childDim)}
}

// child owns an index, and announces on standard output each call that it is about to make and,
// once acknowledged, that it is done. A line is a single write, so that what was printed before a
// kill is in the pipe.
func child(ctx context.Context) error {
	round, err := strconv.Atoi(os.Getenv(roundEnv))
	if err != nil {
		return err
	}
	fmt.Println("opening")
	f, err := index.Open(ctx, os.Getenv(pathEnv), index.Options{Binding: childBinding(), Create: true, Threads: 2})
	if err != nil {
		return err
	}
	fmt.Println("open")
	if os.Getenv(childEnv) == "sequential" {
		return errors.Join(sequence(ctx, f), f.Close())
	}
	if os.Getenv(childEnv) == "together" {
		return together(f)
	}
	var group errgroup.Group
	for w := range childWorkers {
		group.Go(func() error {
			r := rand.New(rand.NewPCG(uint64(round), uint64(w)))
			for n := 1; ; n++ {
				if err := do(ctx, f, indextest.RandomCall(r, w, round*roundLength+n)); err != nil {
					return err
				}
			}
		})
	}
	group.Go(func() error { return searchForever(ctx, f) })
	return group.Wait()
}

// sequence makes a few calls of each kind, one after another.
func sequence(ctx context.Context, f *index.File) error {
	for n, c := range []indextest.Call{
		{Kind: indextest.Put, IDs: []string{"a"}}, {Kind: indextest.Put, IDs: []string{"a"}}, {Kind: indextest.Put, IDs: []string{"b", "c", "d"}},
		{Kind: indextest.Delete, IDs: []string{"a"}}, {Kind: indextest.Delete, IDs: []string{"b", "d"}}, {Kind: indextest.Put, IDs: []string{"e"}},
	} {
		c.Number = n + 1
		if err := do(ctx, f, c); err != nil {
			return err
		}
	}
	return nil
}

// do makes a call, announced by a line before and after it, and checks that searches reflect it.
func do(ctx context.Context, f *index.File, c indextest.Call) (err error) {
	fmt.Printf("begin %d %d %s %s\n", c.Worker, c.Number, c.Kind, strings.Join(c.IDs, ","))
	switch c.Kind {
	case indextest.Put:
		items := make([]index.Item, len(c.IDs))
		for i, id := range c.IDs {
			items[i] = indextest.Version(id, c.Number, childDim)
		}
		_, err = f.Upsert(ctx, index.DefaultNamespace, items...)
	case indextest.Delete:
		_, err = f.Delete(ctx, index.DefaultNamespace, c.IDs...)
	case indextest.Compact:
		err = f.Compact(ctx)
	}
	if err != nil {
		return err
	}
	fmt.Printf("done %d %d\n", c.Worker, c.Number)
	for _, id := range c.IDs {
		if err := shows(ctx, f, id, c.Number, c.Kind == indextest.Put); err != nil {
			return fmt.Errorf("a %s of %s by call %d was acknowledged: %w", c.Kind, id, c.Number, err)
		}
	}
	return nil
}

// shows returns an error unless a search for a version of an item finds it, or with want false
// does not.
func shows(ctx context.Context, f *index.File, id string, number int, want bool) error {
	found, err := f.Search(ctx, index.DefaultNamespace, index.Query{Vector: indextest.Version(id, number, childDim).Vector, K: 1})
	if err != nil {
		return err
	}
	hits := found[0]
	there := len(hits) == 1 && hits[0].ID == id
	if want && (!there || hits[0].Score < 0.9999 || indextest.NumberOf(hits[0].Metadata) != number) {
		return fmt.Errorf("a search finds %+v", hits)
	}
	if !want && there {
		return fmt.Errorf("a search finds %+v", hits)
	}
	return nil
}

// searchForever searches concurrently with the calls.
func searchForever(ctx context.Context, f *index.File) error {
	r := rand.New(rand.NewPCG(1, 2))
	for {
		q := indextest.Version("query", r.IntN(1000), childDim).Vector
		found, err := f.Search(ctx, index.DefaultNamespace, index.Query{Vector: q, K: 5})
		if err != nil {
			return err
		}
		if !slices.IsSortedFunc(found[0], func(a, b index.Hit) int { return cmp.Compare(b.Score, a.Score) }) {
			return fmt.Errorf("hits out of order: %+v", found[0])
		}
	}
}
