package main

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
)

// row aggregates nodes with the same key over one run.
type row struct {
	key                     string
	calls, ms, flops, bytes float64
}

// rows sums the nodes of a trace by a key, longest first.
func (t *trace) rows(key func(node) string) []row {
	by := map[string]*row{}
	for _, n := range t.nodes {
		k := key(n)
		if by[k] == nil {
			by[k] = &row{key: k}
		}
		r := by[k]
		r.calls++
		r.ms += n.Ms
		r.flops += n.flops()
		r.bytes += n.moved()
	}
	var all []row
	for _, r := range by {
		runs := float64(t.runs)
		all = append(all, row{r.key, r.calls / runs, r.ms / runs, r.flops / runs, r.bytes / runs})
	}
	slices.SortFunc(all, func(a, b row) int { return cmp.Or(cmp.Compare(b.ms, a.ms), cmp.Compare(a.key, b.key)) })
	return all
}

// total returns the time of all nodes in a run.
func (t *trace) total() (ms float64) {
	for _, n := range t.nodes {
		ms += n.Ms
	}
	return ms / float64(t.runs)
}

// printRows prints the first rows. GB/s counts every input and output once, the minimum traffic;
// TFLOP/s counts matrix products and convolutions.
func printRows(all []row, total float64, most int) {
	fmt.Printf("  %8s %6s %6s %8s %8s  %s\n", "ms", "%", "calls", "GB/s", "TFLOP/s", "what")
	rest := row{key: "all others"}
	for i, r := range all {
		if i >= most {
			rest.ms, rest.calls = rest.ms+r.ms, rest.calls+r.calls
			continue
		}
		printRow(r, total)
	}
	if rest.calls > 0 {
		printRow(rest, total)
	}
}

func printRow(r row, total float64) {
	gbs, tflops := "", ""
	if r.bytes > 0 && r.ms > 0 {
		gbs = fmt.Sprintf("%.0f", r.bytes/r.ms/1e6)
	}
	if r.flops > 0 && r.ms > 0 {
		tflops = fmt.Sprintf("%.2f", r.flops/r.ms/1e9)
	}
	fmt.Printf("  %8.3f %6.1f %6.0f %8s %8s  %s\n", r.ms, 100*r.ms/total, r.calls, gbs, tflops, r.key)
}

// byOperator and byShape are row keys.
func byOperator(n node) string { return n.Op + elsewhere(n) }

func byShape(n node) string {
	var in, out []string
	for _, s := range n.In {
		in = append(in, s.String())
	}
	for _, s := range n.Out {
		out = append(out, s.String())
	}
	return fmt.Sprintf("%s %s -> %s%s", n.Op, strings.Join(in, " "), strings.Join(out, " "), elsewhere(n))
}

// byPart separates forward, backward, loss and optimiser by the prefixes of the nodes' names; the
// backward pass also by layer.
func byPart(n node) string {
	parts := strings.Split(n.Name, "/")
	kind := func(name string) string { return strings.TrimRight(name, "_0123456789") }
	switch {
	case parts[0] == "optim":
		return "optimizer"
	case len(parts) > 3 && parts[0] == "grad":
		return "backward of " + kind(parts[2])
	case parts[0] == "grad":
		return "backward of the loss"
	case len(parts) > 1:
		return "forward"
	case strings.ToLower(n.Name) != n.Name:
		return "added by the runtime"
	}
	return "loss and scalars"
}

// elsewhere marks a node that runs on the host.
func elsewhere(n node) string {
	if n.Provider == "CPU" {
		return " (CPU)"
	}
	return ""
}
