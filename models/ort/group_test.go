package ort_test

import (
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"vicreg/models/graph"
	"vicreg/models/ort"
	"vicreg/models/ort/orttest"
	"vicreg/models/ort/standin"
	"vicreg/models/tensor"
)

// many is how many tensors are reduced beside n: more than fit into one bucket.
const many = 40

// collectives computes y and h = AllGather(x, x+x), s = AllReduce(-x), and n = AllReduce(x),
// which may not be computed in place, in a list with others: a and b of one row, wide, which
// exceeds the size that is bucketed, and many.
func collectives(t *testing.T, p graph.Group, shape ...int) []byte {
	t.Helper()
	g, err := graph.Build("collectives", func(g *graph.Graph) {
		x := g.Input("x", tensor.Float32, shape...)
		twice := g.Add(x, x)
		gathered := g.AllGather(p, x, twice)
		g.Output("y", gathered[0])
		g.Output("h", gathered[1])
		g.Output("s", g.AllReduce(p, g.Neg(x))[0])
		list := []*graph.Value{g.Slice(x, 0, 0, 1), x, g.Concat(0, x, x, x), g.Slice(x, 0, 1, 2)}
		for range many {
			list = append(list, g.Concat(0, x, x))
		}
		sums := g.AllReduce(p, list...)
		for i, name := range []string{"a", "n", "wide", "b"} {
			g.Output(name, sums[i])
		}
		g.Output("first", sums[4])
		g.Output("last", sums[len(sums)-1])
		g.Output("x2", twice)
	})
	if err != nil {
		t.Fatal(err)
	}
	model, err := g.Marshal()
	if err != nil {
		t.Fatal(err)
	}
	return model
}

// Three processes share what each of them has with all.
func TestCollectives(t *testing.T) {
	group := orttest.Group(t, 3)
	if group == nil {
		return
	}
	p := graph.Group{Rank: group.Rank(), Size: group.Size()}
	s, err := orttest.Open(t).NewSession(collectives(t, p, 100, 1000), ort.Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	x := tensor.New(tensor.Float32, 100, 1000) // more than is exchanged at once
	want := map[string][]float32{}
	for rank := range 3 {
		for i := range 100_000 {
			v := float32(i%977) + float32(rank)*0.5
			want["y"] = append(want["y"], v)
			if rank == p.Rank {
				x.Float32()[i] = v
				want["x2"] = append(want["x2"], 2*v)
			}
			want["h"] = append(want["h"], 2*v)
		}
	}
	for i := range 100_000 {
		sum := 3*float32(i%977) + 1.5
		want["n"], want["s"] = append(want["n"], sum), append(want["s"], -sum)
	}
	n := want["n"]
	want["a"], want["b"], want["wide"] = n[:1000], n[1000:2000], slices.Repeat(n, 3)
	want["first"] = slices.Repeat(n, 2)
	want["last"] = want["first"]
	ort.Exchanges()
	for range 3 {
		out, err := s.Run(tensor.Batch{"x": x})
		if err != nil {
			t.Fatal(err)
		}
		for name, values := range want {
			if !slices.Equal(out[name].Float32(), values) {
				t.Errorf("rank %d: %s is wrong", p.Rank, name)
			}
		}
		// Two are gathered; s is reduced, then wide by itself, and the others in two buckets.
		e := ort.Exchanges()
		if values := int64(3+1+3+2*many)*100_000 + 2000; e.Count != 6 || e.Bytes != 4*values || e.Time <= 0 {
			t.Errorf("%+v for %d values", e, values)
		}
	}
	all, err := group.AllGather([]float32{float32(p.Rank), 7})
	if err != nil || !slices.Equal(all, []float32{0, 7, 1, 7, 2, 7}) {
		t.Errorf("gathered %v, %v", all, err)
	}
	if _, err := ort.JoinGroup("/nowhere"); err == nil || !strings.Contains(err.Error(), "in a group already") {
		t.Errorf("joined twice: %v", err)
	}
}

// A graph for a group does not load in a process without one; a graph for one process does.
func TestCollectivesAlone(t *testing.T) {
	lib := orttest.Open(t)
	_, err := lib.NewSession(collectives(t, graph.Group{Rank: 1, Size: 2}, 2, 2), ort.Options{})
	if err == nil || !strings.Contains(err.Error(), "the graph is for 2 processes, and here are 1") {
		t.Errorf("%v", err)
	}
	s, err := lib.NewSession(collectives(t, graph.Group{Size: 1}, 2, 2), ort.Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	out, err := s.Run(tensor.Batch{"x": tensor.Of([]float32{1, 2, 3, 4}, 2, 2)})
	if err != nil || !slices.Equal(out["y"].Float32(), []float32{1, 2, 3, 4}) || !slices.Equal(out["n"].Float32(), out["y"].Float32()) {
		t.Errorf("%v, %v", out, err)
	}
}

// Anything but a library of this kind yields a one-sentence error, in a child process, since a
// process joins once.
func TestJoinGroupRefuses(t *testing.T) {
	const env = "VICREG_TEST_JOIN"
	if path := os.Getenv(env); path != "" {
		_, err := ort.JoinGroup(path)
		t.Fatalf("ERROR: %v", err)
	}
	if standin.Compiler() == "" {
		t.Skip("no C compiler")
	}
	dir := t.TempDir()
	for name, c := range map[string]struct{ source, want string }{
		"lacks":   {"int vicreg_group_open;", "has no function vicreg_group_all_reduce"},
		"fails":   {library(`"the network is down"`, 0, 0), "join the other processes: the network is down"},
		"outside": {library("0", 2, 2), "rank 2 of 2 processes"},
		"missing": {"", "cannot open shared object file"},
	} {
		path := filepath.Join(dir, name+".so")
		if c.source != "" {
			cmd := exec.Command(standin.Compiler(), "-x", "c", "-w", "-shared", "-fPIC", "-o", path, "-")
			cmd.Stdin = strings.NewReader(c.source)
			if out, err := cmd.CombinedOutput(); err != nil {
				t.Fatalf("%v\n%s", err, out)
			}
		}
		cmd := exec.Command(os.Args[0], "-test.run=^TestJoinGroupRefuses$")
		cmd.Env = append(os.Environ(), env+"="+path)
		if out, _ := cmd.CombinedOutput(); !strings.Contains(string(out), "ERROR: join the other processes: ") || !strings.Contains(string(out), c.want) {
			t.Errorf("%s: want %q:\n%s", name, c.want, out)
		}
	}
}

// library returns the source of a group with this rank and size whose opening returns answer.
func library(answer string, rank, size int) string {
	return "const char *vicreg_group_open(int *r, int *s) { *r = " + string(rune('0'+rank)) + "; *s = " + string(rune('0'+size)) +
		"; return " + answer + "; } void vicreg_group_all_reduce() {} void vicreg_group_all_gather() {} void vicreg_group_close() {}"
}
