package main

import (
	"bufio"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"os/exec"
)

// process is one side of the comparison: it answers each line with a line of JSON.
type process struct {
	name string
	cmd  *exec.Cmd
	in   io.WriteCloser
	out  *bufio.Reader
}

// start runs a command and waits for its first line, which names it.
func start(path string, args ...string) (*process, error) {
	p := &process{name: path, cmd: exec.Command(path, args...)}
	p.cmd.Stderr = os.Stderr
	var err error
	if p.in, err = p.cmd.StdinPipe(); err != nil {
		return nil, err
	}
	out, err := p.cmd.StdoutPipe()
	if err != nil {
		return nil, err
	}
	p.out = bufio.NewReader(out)
	if err := p.cmd.Start(); err != nil {
		return nil, fmt.Errorf("start %s: %w", path, err)
	}
	var first struct{ Name string }
	if err := p.read(&first); err != nil {
		p.stop()
		return nil, fmt.Errorf("start %s: it ended before it was ready", path)
	}
	p.name = first.Name
	return p, nil
}

// answer is what a command took, on the clock and of the processor's time in
// milliseconds, or how many allocations it counted.
type answer struct{ Ms, CPU, Allocs float64 }

// ask sends a command.
func (p *process) ask(command string, args ...any) (a answer, err error) {
	for _, a := range args {
		command += fmt.Sprint(" ", a)
	}
	if _, err := io.WriteString(p.in, command+"\n"); err != nil {
		return a, fmt.Errorf("%s: %w", p.name, err)
	}
	if err := p.read(&a); err != nil {
		return a, fmt.Errorf("%s at %q: %w", p.name, command, err)
	}
	return a, nil
}

func (p *process) read(a any) error {
	line, err := p.out.ReadBytes('\n')
	if err != nil {
		return err
	}
	return json.Unmarshal(line, a)
}

func (p *process) stop() {
	p.in.Close()
	p.cmd.Wait()
}
