// Command data compares the path from JPEG bytes to views with torchvision's on Pillow images. Each
// side runs in its own process, and they take turns on the same few images, so that background load
// affects all of them alike; a ratio is taken within each turn.
package main

import (
	"flag"
	"fmt"
	"os"
	"slices"

	"vicreg/scripts/bench/peer"
)

// setup is one case and the number of images per turn.
type setup struct {
	name, label string
	count       int
}

var setups = []setup{
	{"views224", "two views at 224 px", 10},
	{"views32", "two views at 32 px", 200},
	{"serve", "serving at 224 px", 10},
}

func main() {
	if err := run(); err != nil {
		fmt.Fprintln(os.Stderr, "data:", err)
		os.Exit(1)
	}
}

func run() error {
	quick := flag.Bool("quick", false, "few rounds")
	rounds := flag.Int("rounds", 60, "turns of each side at each case")
	only := flag.String("case", "", "views224, views32, serve or scaling; by default all")
	photos := flag.String("photos", "", "folder of photographs")
	small := flag.String("small", "", "folder of CIFAR pictures")
	python := flag.String("python", "python3", "a Python with torchvision")
	turbo := flag.String("turbo", "", "this command built with the tag turbojpeg, if any")
	serve := flag.Bool("serve", false, "be one side (used by the command itself)")
	flag.Parse()
	if *serve {
		return ours(*photos, *small)
	}
	if *quick {
		*rounds = 12
	}
	if !slices.Contains([]string{"", "views224", "views32", "serve", "scaling"}, *only) {
		return fmt.Errorf("no case %q", *only)
	}
	commands := [][]string{{os.Args[0], "-serve", "-photos", *photos, "-small", *small}}
	if *turbo != "" {
		commands = append(commands, []string{*turbo, "-serve", "-photos", *photos, "-small", *small})
	}
	commands = append(commands, []string{*python, "scripts/bench/data_torch.py", *photos, *small})
	var sides []*peer.Process
	for _, c := range commands {
		var hello struct{ Name string }
		p, err := peer.Start(c[0], &hello, c[0], c[1:]...)
		if err != nil {
			return err
		}
		p.Name = hello.Name
		defer p.Stop()
		sides = append(sides, p)
	}
	return compare(sides, *rounds, *only)
}

// compare runs all cases, or only one; the last side is the peer.
func compare(sides []*peer.Process, rounds int, only string) error {
	figures := map[string][]float64{}
	for _, s := range setups {
		if only != "" && only != s.name {
			continue
		}
		r, err := s.compare(sides, rounds)
		if err != nil {
			return err
		}
		figures[s.name] = r
	}
	fmt.Println()
	mine := sides[:len(sides)-1]
	if only == "" || only == "scaling" {
		for _, p := range mine {
			s, err := scale(p, 2*rounds)
			if err != nil {
				return err
			}
			figures["scaling"] = append(figures["scaling"], s)
		}
	}
	for _, p := range mine {
		pixels, err := ask(p, "allocs")
		if err != nil {
			return err
		}
		path, err := ask(p, "allocs-decode")
		if err != nil {
			return err
		}
		figures["allocs"], figures["path"] = append(figures["allocs"], pixels.Allocs), append(figures["path"], path.Allocs)
		fmt.Printf("%s: %.2f allocations a picture from its pixels on, %.2f from its bytes on\n", p.Name, pixels.Allocs, path.Allocs)
	}
	fmt.Printf("bench data ratio=%s ratio_turbo=%s views32=%s serve=%s serve_turbo=%s scaling=%s allocs=%s allocs_turbo=%s\n",
		figure(figures["views224"], 0), figure(figures["views224"], 1), figure(figures["views32"], 0),
		figure(figures["serve"], 0), figure(figures["serve"], 1), figure(figures["scaling"], 0),
		figure(figures["allocs"], 0), figure(figures["path"], 1))
	return nil
}

// figure formats the ratio of a build, "none" if it was not measured.
func figure(of []float64, build int) string {
	if build >= len(of) {
		return "none"
	}
	return fmt.Sprintf("%.3f", of[build])
}

// compare returns the ratios of each of our builds to the peer.
func (s setup) compare(sides []*peer.Process, rounds int) ([]float64, error) {
	times := make([][]float64, len(sides))
	for round := range rounds + 1 {
		for i, p := range sides {
			a, err := ask(p, s.name, round*s.count, s.count)
			if err != nil {
				return nil, err
			}
			if round > 0 { // the first is warm-up
				times[i] = append(times[i], a.Ms/float64(s.count))
			}
		}
	}
	theirs := times[len(sides)-1]
	var ratios []float64
	fmt.Printf("\n%s, ms a picture, median of %d turns:\n", s.label, rounds)
	for i, p := range sides {
		line := fmt.Sprintf("  %-34s %7.3f", p.Name, peer.Median(times[i]))
		if i < len(sides)-1 {
			r := paired(times[i], theirs)
			ratios = append(ratios, peer.Median(r))
			line += fmt.Sprintf("  ratio %.3f (middle half of the turns %.3f to %.3f)", peer.Median(r), r[len(r)/4], r[len(r)*3/4])
		}
		fmt.Println(line)
	}
	return ratios, nil
}

// scale returns the throughput of two workers over that of one. On a busy machine wall-clock time
// says little; CPU time shows whether the workers would slow each other down with a core each.
func scale(p *peer.Process, rounds int) (float64, error) {
	var clock, processor [2][]float64
	for round := range rounds + 1 {
		for i, name := range []string{"scale1", "scale2"} {
			a, err := ask(p, name, round*20, 20)
			if err != nil {
				return 0, err
			}
			if round > 0 {
				clock[i], processor[i] = append(clock[i], a.Ms), append(processor[i], a.CPU)
			}
		}
	}
	r, used := paired(clock[0], clock[1]), paired(processor[0], processor[1])
	fmt.Printf("%s, two workers over one: %.3f (middle half of the turns %.3f to %.3f); %.3f by the processor's time\n",
		p.Name, peer.Median(r), r[len(r)/4], r[len(r)*3/4], 2*peer.Median(used))
	return peer.Median(r), nil
}

// paired returns a over b in each round, sorted.
func paired(a, b []float64) (r []float64) {
	for i := range a {
		r = append(r, a[i]/b[i])
	}
	slices.Sort(r)
	return r
}

// answer is the wall-clock and CPU time of a command in milliseconds, or the allocations that it
// counted.
type answer struct{ Ms, CPU, Allocs float64 }

// ask sends a command with its arguments.
func ask(p *peer.Process, command string, args ...any) (a answer, err error) {
	for _, x := range args {
		command += fmt.Sprint(" ", x)
	}
	return a, p.Ask(command, &a)
}
