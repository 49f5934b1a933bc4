package main

import (
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path"
	"regexp"
	"slices"
	"strings"
	"testing"
	"testing/fstest"
)

// TestDockerfile checks what can be tested of the Dockerfile without a container engine: its steps
// are scripts, which scripts/docker/test.sh runs, and the files it copies exist.
func TestDockerfile(t *testing.T) {
	for _, fault := range dockerfileFaults(t, os.DirFS(".")) {
		t.Error(fault)
	}
}

// Each rule is violated once, to show that the checks can fail.
func TestDockerfileFaults(t *testing.T) {
	tree := fstest.MapFS{
		".dockerignore":           {Data: []byte("# comment\n*\n!scripts\n!go.*\n")},
		"README.md":               {},
		"go.mod":                  {},
		"scripts/docker/build.sh": {Mode: 0o755},
		"scripts/docker/plain.sh": {Mode: 0o644},
		"scripts/test.sh":         {Mode: 0o755},
		"Dockerfile": {Data: []byte(`FROM golang:1.26 AS build
# COPY nothing
COPY go.mod README.md \
     # in the middle
     none.txt ./
RUN scripts/docker/build.sh
RUN scripts/docker/build.sh && true
RUN scripts/docker/plain.sh
RUN scripts/docker/none.sh
RUN scripts/test.sh
FROM nvidia/cuda:13 AS cuda
COPY --from=build /out/ /
USER 1:1
HEALTHCHECK CMD ["health"]
CMD ["serve"]
FROM debian:latest AS cpu
ADD go.mod /
COPY --from=built /out/ /
USER root
CMD ["serve", "--device", "cuda"]
`)},
	}
	want := []string{
		"README.md is copied, and .dockerignore leaves it out",
		"none.txt is copied, and is not there",
		"RUN scripts/docker/build.sh && true: want a script of scripts/docker and nothing else",
		"RUN scripts/docker/plain.sh: the script cannot be executed",
		"RUN scripts/docker/none.sh: open scripts/docker/none.sh: file does not exist",
		"RUN scripts/test.sh: want a script of scripts/docker and nothing else",
		"FROM debian:latest: want a tag that says which",
		"ADD go.mod /: COPY does no more than it says",
		"COPY --from=built: there is no such stage before it",
		`cuda has HEALTHCHECK CMD ["health"], and cpu `,
		"cuda has USER 1:1, and cpu root",
		`cuda: its CMD is ["serve"]`,
		`cpu: the program runs as "root": want a number, not 0`,
		"cpu has no HEALTHCHECK",
		`cpu: its CMD is ["serve", "--device", "cuda"]`,
	}
	if got := dockerfileFaults(t, tree); !slices.Equal(got, want) {
		t.Errorf("got\n%s\nwant\n%s", strings.Join(got, "\n"), strings.Join(want, "\n"))
	}
	tree["Dockerfile"] = &fstest.MapFile{Data: []byte("FROM golang AS build\nUSER 0:0\nHEALTHCHECK NONE\n")}
	want = []string{"FROM golang: want a tag that says which", `build: the program runs as "0:0": want a number, not 0`, "the stages are build: want build first and cpu last"}
	if got := dockerfileFaults(t, tree); !slices.Equal(got, want) {
		t.Errorf("got\n%s\nwant\n%s", strings.Join(got, "\n"), strings.Join(want, "\n"))
	}
}

// Files that git tracks must reach the build: it takes missing ones for changes, and vicreg version
// would report the image as modified.
func TestDockerIgnoreLetsTrackedFilesThrough(t *testing.T) {
	out, err := exec.Command("git", "ls-files").Output()
	if err != nil {
		t.Skipf("this is no checkout: %v", err)
	}
	text := readFile(t, os.DirFS("."), ".dockerignore")
	for name := range strings.Lines(string(out)) {
		if name = strings.TrimSpace(name); ignored(text, name) {
			t.Errorf("%s is tracked, and .dockerignore leaves it out", name)
		}
	}
	for _, name := range []string{"photos/cat.jpg", "runs/a/metrics.jsonl", "build/venv/pins", "vicreg"} {
		if !ignored(text, name) {
			t.Errorf("%s would be sent to the build", name)
		}
	}
}

// instruction is one Dockerfile instruction with its continuation lines joined.
type instruction struct{ name, rest string }

// instructions parses a Dockerfile without heredocs.
func instructions(text string) (all []instruction) {
	joined := ""
	for line := range strings.Lines(text) {
		line = strings.TrimSpace(line)
		if line == "" || line[0] == '#' {
			continue
		}
		part, more := strings.CutSuffix(line, `\`)
		joined += strings.TrimSpace(part) + " "
		if !more {
			name, rest, _ := strings.Cut(strings.TrimSpace(joined), " ")
			all, joined = append(all, instruction{strings.ToUpper(name), rest}), ""
		}
	}
	return all
}

var stepScript = regexp.MustCompile(`^scripts/docker/[a-z-]+\.sh$`)

// dockerfileFaults lists what is wrong with a tree's Dockerfile, in file order.
func dockerfileFaults(t *testing.T, tree fs.FS) (faults []string) {
	t.Helper()
	fault := func(format string, args ...any) { faults = append(faults, fmt.Sprintf(format, args...)) }
	ignore := readFile(t, tree, ".dockerignore")
	var stages []stage
	for _, i := range instructions(readFile(t, tree, "Dockerfile")) {
		words := strings.Fields(i.rest)
		switch i.name {
		case "FROM":
			if _, tag, _ := strings.Cut(words[0], ":"); tag == "" || tag == "latest" {
				fault("FROM %s: want a tag that says which", words[0])
			}
			stages = append(stages, stage{words[len(words)-1], map[string]string{}})
		case "RUN":
			if err := runnable(tree, i.rest); err != nil {
				fault("RUN %s: %v", i.rest, err)
			}
		case "ADD":
			fault("ADD %s: COPY does no more than it says", i.rest)
		case "COPY":
			faults = append(faults, copyFaults(tree, ignore, stages, words)...)
		}
		at := stages[len(stages)-1].settings
		at[i.name] = strings.TrimSpace(at[i.name] + "\n" + i.rest)
	}
	return append(faults, stageFaults(stages)...)
}

// stage is one build stage: its name, and the arguments of each of its instructions.
type stage struct {
	name     string
	settings map[string]string
}

// stageFaults checks the final stages, those not copied from: they run the program in the same way,
// on the device that their names imply.
func stageFaults(stages []stage) (faults []string) {
	fault := func(format string, args ...any) { faults = append(faults, fmt.Sprintf(format, args...)) }
	var names []string
	last := stages[len(stages)-1]
	for _, s := range stages {
		names = append(names, s.name)
		copied := func(other stage) bool { return strings.Contains(other.settings["COPY"]+" ", "--from="+s.name+" ") }
		if slices.ContainsFunc(stages, copied) {
			continue
		}
		if !regexp.MustCompile(`^[1-9][0-9]*(:[1-9][0-9]*)?$`).MatchString(s.settings["USER"]) {
			fault("%s: the program runs as %q: want a number, not 0", s.name, s.settings["USER"])
		}
		if s.settings["HEALTHCHECK"] == "" {
			fault("%s has no HEALTHCHECK", s.name)
		}
		for _, name := range []string{"ENTRYPOINT", "ENV", "EXPOSE", "HEALTHCHECK", "STOPSIGNAL", "USER"} {
			if s.settings[name] != last.settings[name] {
				fault("%s has %s %s, and %s %s", s.name, name, s.settings[name], last.name, last.settings[name])
			}
		}
		if device := `"--device", "cuda"`; strings.Contains(s.settings["CMD"], device) != (s.name == "cuda") {
			fault("%s: its CMD is %s", s.name, s.settings["CMD"])
		}
	}
	if len(names) < 2 || names[0] != "build" || last.name != "cpu" {
		fault("the stages are %s: want build first and cpu last", strings.Join(names, ", "))
	}
	return faults
}

// copyFaults checks a COPY of the last stage, from an earlier stage or from the tree.
func copyFaults(tree fs.FS, ignore string, stages []stage, words []string) (faults []string) {
	if from, other := strings.CutPrefix(words[0], "--from="); other {
		if !slices.ContainsFunc(stages[:len(stages)-1], func(s stage) bool { return s.name == from }) {
			faults = append(faults, "COPY "+words[0]+": there is no such stage before it")
		}
		return faults
	}
	for _, source := range words[:len(words)-1] {
		if _, err := fs.Stat(tree, path.Clean(source)); err != nil {
			faults = append(faults, source+" is copied, and is not there")
		} else if ignored(ignore, source) {
			faults = append(faults, source+" is copied, and .dockerignore leaves it out")
		}
	}
	return faults
}

func runnable(tree fs.FS, script string) error {
	if !stepScript.MatchString(script) {
		return fmt.Errorf("want a script of scripts/docker and nothing else")
	}
	info, err := fs.Stat(tree, script)
	if err == nil && info.Mode()&0o111 != 0o111 {
		err = fmt.Errorf("the script cannot be executed")
	}
	return err
}

// ignored reports whether a .dockerignore that starts with * excludes a file, considering only
// top-level patterns.
func ignored(text, name string) bool {
	top, _, _ := strings.Cut(path.Clean(name), "/")
	for line := range strings.Lines(text) {
		if kept, found := strings.CutPrefix(strings.TrimSpace(line), "!"); found {
			if ok, err := path.Match(kept, top); ok || err != nil {
				return false
			}
		}
	}
	return top != "." && strings.Contains("\n"+text, "\n*\n")
}

func readFile(t *testing.T, tree fs.FS, name string) string {
	t.Helper()
	b, err := fs.ReadFile(tree, name)
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}
