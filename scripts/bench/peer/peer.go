// Package peer is shared by the paired benchmarks: sides that run in separate processes and take
// turns, so that background load affects all of them alike, and the figures of the last line.
package peer

import (
	"bufio"
	"encoding/json"
	"fmt"
	"io"
	"math"
	"os"
	"os/exec"
	"slices"
)

// Process is one side of a comparison: it answers each line with a line of JSON.
type Process struct {
	Name string
	cmd  *exec.Cmd
	in   io.WriteCloser
	out  *bufio.Reader
}

// Start runs a command and decodes its first line, which reports that it is ready, into hello,
// unless that is nil. Its standard error is passed through.
func Start(name string, hello any, path string, args ...string) (*Process, error) {
	p := &Process{Name: name, cmd: exec.Command(path, args...)}
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
		return nil, fmt.Errorf("start %s: %w", name, err)
	}
	if err := p.read(hello); err != nil {
		p.Stop()
		return nil, fmt.Errorf("start %s: it ended before it was ready", name)
	}
	return p, nil
}

// Ask sends a line and decodes the answer.
func (p *Process) Ask(line string, answer any) error {
	if _, err := io.WriteString(p.in, line+"\n"); err != nil {
		return fmt.Errorf("%s: %w", p.Name, err)
	}
	if err := p.read(answer); err != nil {
		return fmt.Errorf("%s ended at %q: %w", p.Name, line, err)
	}
	return nil
}

func (p *Process) read(answer any) error {
	line, err := p.out.ReadBytes('\n')
	if err != nil || answer == nil {
		return err
	}
	return json.Unmarshal(line, answer)
}

// Stop closes the process's input, on which it exits, and waits for it.
func (p *Process) Stop() {
	p.in.Close()
	p.cmd.Wait()
}

// Kill ends the process immediately; a pending Ask returns an error.
func (p *Process) Kill() { p.cmd.Process.Kill() }

// Median returns the median of xs, which must not be empty.
func Median(xs []float64) float64 {
	s := slices.Sorted(slices.Values(xs))
	n := len(s)
	return (s[(n-1)/2] + s[n/2]) / 2
}

// Percentile returns the smallest of the sorted values that at least a fraction q of all values do
// not exceed; the zero value if there are none.
func Percentile[T any](sorted []T, q float64) (v T) {
	if len(sorted) == 0 {
		return v
	}
	i := int(math.Ceil(q*float64(len(sorted)))) - 1
	return sorted[min(max(i, 0), len(sorted)-1)]
}
