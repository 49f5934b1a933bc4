package models

import (
	"fmt"
	"maps"
	"math"
	"slices"
	"strings"
	"testing"

	"vicreg/models/graph"
	"vicreg/models/nn"
	"vicreg/models/ort/orttest"
	"vicreg/models/tensor"
)

// wholeGroup is the training graph of all processes of a group in one graph: it has the views of
// each, normalises them separately, and computes the loss over all embeddings.
func wholeGroup(t *testing.T, c Config, size int) *graph.Graph {
	t.Helper()
	g, err := c.build("whole", func(g *graph.Graph) {
		lossScale, s := g.Input(LossScale, tensor.Float32, 1), nn.NewScope(g, nn.Train)
		var z [2]*graph.Value
		for rank := range size {
			for i, view := range []string{View1, View2} {
				pixels := g.Input(ofRank(view, rank), tensor.Uint8, c.Batch, c.Size, c.Size, 3)
				_, own := c.embed(s, pixels)
				// Concat has no gradient rule, but a product with ones and zeros does.
				rows := g.MatMul(g.Const(fmt.Sprint("place of ", rank), func() *tensor.Tensor { return placed(c.Batch, rank, size) }), own)
				if z[i] == nil {
					z[i] = rows
				} else {
					z[i] = g.Add(z[i], rows)
				}
			}
		}
		f := forward{scope: s, terms: c.Loss.Forward(g, z[0], z[1])}
		f.outputs(g)
		for _, v := range f.backward(g, lossScale, graph.Group{}) {
			g.Output(v.Name+gradSuffix, v.Grad)
		}
	})
	if err != nil {
		t.Fatal(err)
	}
	return g
}

// placed is the matrix [size*n, n] that moves n rows to the place of a rank.
func placed(n, rank, size int) *tensor.Tensor {
	m := tensor.New(tensor.Float32, size*n, n)
	for i := range n {
		m.Float32()[(rank*n+i)*n+i] = 1
	}
	return m
}

func ofRank(view string, rank int) string { return fmt.Sprintf("%s of %d", view, rank) }

// Each process of a group has the loss and the gradients of the batch of all of them, bit-identical
// across processes, and the mean of their running statistics.
func TestGroupIsOneBatch(t *testing.T) {
	group := orttest.Group(t, 2)
	if group == nil {
		return
	}
	c := twinConfig("gelu", 8, orttest.BlockSize(t))
	alone := trainingOf(t, c)
	single := session(t, alone.Graph)
	state, all := twinState(alone), tensor.Batch{LossScale: tensor.Of([]float32{4})}
	var apart []tensor.Batch // the results of each process on its own
	for rank := range group.Size() {
		own := views(c, fmt.Sprintf("step%d/", rank))
		all[ofRank(View1, rank)], all[ofRank(View2, rank)] = own[View1], own[View2]
		out, err := single.Run(pick(t, alone.Graph, state, own))
		if err != nil {
			t.Fatal(err)
		}
		apart = append(apart, out)
	}
	own := tensor.Batch{View1: all[ofRank(View1, group.Rank())], View2: all[ofRank(View2, group.Rank())]}
	want := run(t, wholeGroup(t, c, group.Size()), state, all)
	c.Group = graph.Group{Rank: group.Rank(), Size: group.Size()}
	got := run(t, trainingOf(t, c).Graph, state, all, own)
	for _, name := range []string{"loss", "invariance", "variance", "covariance"} {
		atMost(t, name, math.Abs(float64(got[name].Float32()[0]/want[name].Float32()[0])-1), 1e-6)
	}
	for _, p := range alone.Params {
		if p.Statistic {
			atMost(t, p.Name, off(got[p.Name+nextSuffix], mean(apart, p.Name+nextSuffix)), 1e-6)
			continue
		}
		gradient := wide(want[p.Name+gradSuffix])
		atMost(t, p.Name, off(got[p.Name+gradSuffix], gradient), 2e-5)
		if e := off(apart[0][p.Name+gradSuffix], gradient); e < 1e-3 {
			t.Errorf("%s would be right without the other process (%.1e)", p.Name, e)
		}
	}
	alike(t, group.AllGather, got)
	// The graph of a whole step uses these gradients.
	step, err := Step(c)
	if err != nil {
		t.Fatal(err)
	}
	full := step.InitialState(0)
	maps.Copy(full, state)
	out, length := run(t, step.Graph, full, all, own, tensor.Batch{Rate: tensor.Of([]float32{0.1})}), 0.0
	for _, p := range alone.Params {
		if !p.Statistic {
			length = math.Hypot(length, norm(wide(got[p.Name+gradSuffix]))/4)
		}
	}
	atMost(t, "grad_norm", math.Abs(float64(out["grad_norm"].Float32()[0])/length-1), 1e-5)
	alike(t, group.AllGather, out)
}

func mean(all []tensor.Batch, name string) []float64 {
	mean := make([]float64, all[0][name].Len())
	for _, b := range all {
		for i, v := range b[name].Float32() {
			mean[i] += float64(v) / float64(len(all))
		}
	}
	return mean
}

// alike checks that all processes have the same outputs.
func alike(t *testing.T, gather func([]float32) ([]float32, error), got tensor.Batch) {
	t.Helper()
	for name, out := range sortedBatch(got) {
		all, err := gather(out.Float32())
		if err != nil {
			t.Fatal(err)
		}
		if n := out.Len(); !slices.Equal(all[:n], all[n:]) {
			t.Errorf("%s differs between the processes", name)
		}
	}
}

// sortedBatch iterates over a batch in order of name.
func sortedBatch(b tensor.Batch) func(yield func(string, *tensor.Tensor) bool) {
	return func(yield func(string, *tensor.Tensor) bool) {
		var names []string
		for name := range b {
			names = append(names, name)
		}
		slices.SortFunc(names, strings.Compare)
		for _, name := range names {
			if !yield(name, b[name]) {
				return
			}
		}
	}
}

// Processes that normalise their batches as one are equivalent to a single process with the whole
// batch: in the loss, every gradient and every running statistic.
func TestSyncNormIsOneBatch(t *testing.T) {
	group := orttest.Group(t, 2)
	if group == nil {
		return
	}
	c := twinConfig("gelu", 8, orttest.BlockSize(t))
	whole := c
	whole.Batch *= group.Size()
	alone := trainingOf(t, whole)
	state, scale := twinState(alone), tensor.Batch{LossScale: tensor.Of([]float32{4})}
	all, own := tensor.Batch{}, views(c, fmt.Sprintf("step%d/", group.Rank()))
	for rank := range group.Size() {
		for name, x := range views(c, fmt.Sprintf("step%d/", rank)) {
			all[name] = behind(all[name], x)
		}
	}
	want := run(t, alone.Graph, state, all, scale)
	c.Group, c.SyncNorm = graph.Group{Rank: group.Rank(), Size: group.Size()}, true
	got := run(t, trainingOf(t, c).Graph, state, own, scale)
	c.SyncNorm = false
	apart := run(t, trainingOf(t, c).Graph, state, own, scale)
	atMost(t, "loss", math.Abs(float64(got["loss"].Float32()[0]/want["loss"].Float32()[0])-1), 1e-6)
	for _, p := range alone.Params {
		if p.Statistic {
			name := p.Name + nextSuffix
			atMost(t, name, off(got[name], wide(want[name])), 1e-6)
			continue
		}
		if shift.MatchString(p.Name) {
			continue // its gradient is zero but for rounding
		}
		name := p.Name + gradSuffix
		atMost(t, name, off(got[name], wide(want[name])), 5e-5)
		if e := off(apart[name], wide(want[name])); e < 1e-2 {
			t.Errorf("%s would be right with statistics of each process (%.1e)", name, e)
		}
	}
	alike(t, group.AllGather, got)
}

// behind is the rows of x behind those of all, which may be nil.
func behind(all, x *tensor.Tensor) *tensor.Tensor {
	if all == nil || x.Type != tensor.Uint8 {
		return x
	}
	shape := slices.Clone(x.Shape)
	shape[0] += all.Shape[0]
	out := tensor.New(x.Type, shape...)
	copy(out.Data.([]uint8), slices.Concat(all.Data.([]uint8), x.Data.([]uint8)))
	return out
}

// Both collectives of a step run in the same order in every process, however its graph is
// scheduled: the gradients exchanged second depend on what the first one gathered.
func TestGroupHasOneOrder(t *testing.T) {
	c := twinConfig("relu", 8, 0)
	for rank := range 2 {
		c.Group = graph.Group{Rank: rank, Size: 2}
		step, err := Step(c)
		if err != nil {
			t.Fatal(err)
		}
		var all []*graph.Node
		for _, n := range step.Graph.Nodes {
			if n.Domain == graph.DomainCollectives {
				all = append(all, n)
			}
		}
		if len(all) != 2 || all[0].Op != "AllGather" || all[1].Op != "AllReduce" {
			t.Fatalf("rank %d: %v", rank, all)
		}
		if !follows(all[1], all[0], map[*graph.Node]bool{}) {
			t.Errorf("rank %d: %s does not wait for %s", rank, all[1].Name, all[0].Name)
		}
	}
}

// With shared statistics, too, each collective waits for the one before it, in an order that is the
// same in every process.
func TestSyncNormHasOneOrder(t *testing.T) {
	c := twinConfig("relu", 8, 0)
	c.SyncNorm = true
	var orders [2]string
	for rank := range orders {
		c.Group = graph.Group{Rank: rank, Size: 2}
		step, err := Step(c)
		if err != nil {
			t.Fatal(err)
		}
		var last *graph.Node
		for _, n := range collectives(step.Graph.Nodes) {
			if last != nil && n.Inputs[len(n.Inputs)-1].Node != last {
				t.Errorf("rank %d: %s does not wait for %s", rank, n.Name, last.Name)
			}
			last = n
			orders[rank] += n.Op + n.Name + " "
		}
	}
	// 20 normalisations of the ResNet-18, and 2 of the expander, on both views in both directions;
	// then the embeddings and the gradients.
	if orders[0] != orders[1] || strings.Count(orders[0], " ") != 4*22+2 {
		t.Errorf("%d collectives: %q and %q", strings.Count(orders[0], " "), orders[0], orders[1])
	}
}

// collectives returns those among nodes and their bodies, in order.
func collectives(nodes []*graph.Node) (all []*graph.Node) {
	for _, n := range nodes {
		if n.Domain == graph.DomainCollectives {
			all = append(all, n)
		}
		all = append(all, collectives(n.Body)...)
	}
	return all
}

// Graphs for CUDA do not exchange statistics.
func TestSyncNormRefusesCUDA(t *testing.T) {
	c := twinConfig("relu", 8, 0)
	c.Group, c.SyncNorm, c.Device, c.CustomOps = graph.Group{Size: 2}, true, tensor.CUDA, true
	if _, err := Step(c); err == nil || !strings.Contains(err.Error(), "statistics shared by 2 processes") {
		t.Error(err)
	}
}

// follows reports whether a node depends on another, through nodes not yet seen.
func follows(n, other *graph.Node, seen map[*graph.Node]bool) bool {
	seen[n] = true
	return n == other || slices.ContainsFunc(n.Inputs, func(v *graph.Value) bool {
		return v != nil && v.Node != nil && !seen[v.Node] && follows(v.Node, other, seen)
	})
}

// A group of one process has the same graph as no group.
func TestGroupOfOne(t *testing.T) {
	c := twinConfig("relu", 8, 0)
	want := trainingOf(t, c)
	c.Group = graph.Group{Size: 1}
	if got := trainingOf(t, c); got.Graph.String() != want.Graph.String() {
		t.Error("a group of one has another graph")
	}
}
