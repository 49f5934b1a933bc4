package steps

import (
	"bufio"
	"encoding/json"
	"fmt"
	"io"
	"math"
	"os"
	"strconv"
	"strings"
	"time"

	"vicreg/models/ort"
	"vicreg/models/tensor"
)

// Serve is our side of a comparison, as a process: it builds the step of a setup given as JSON and
// answers commands as train_step_torch.py does, "step", "steps N" and "mem". In a group every
// process gets all commands, and the first one answers.
func Serve(setup string, in io.Reader, out io.Writer) error {
	var s Setup
	if err := json.Unmarshal([]byte(setup), &s); err != nil {
		return err
	}
	joined, leave, err := s.join()
	if err != nil {
		return err
	}
	if s.group.Rank > 0 {
		out = io.Discard
	}
	if err := s.serve(joined, in, out); err != nil {
		return err // without leaving: the others would wait for it
	}
	leave()
	return nil
}

func (s Setup) serve(joined *ort.Group, in io.Reader, out io.Writer) error {
	in, err := s.told(joined, in)
	if err != nil {
		return err
	}
	r, err := Open(s)
	if err != nil {
		return err
	}
	defer r.Close()
	batch, err := r.Noise()
	if err != nil {
		return err
	}
	if r.Problem != "" {
		fmt.Fprintln(os.Stderr, "the step is not captured:", r.Problem)
	}
	fmt.Fprintf(out, "{\"block\": %d}\n", r.Config.Block)
	for lines := bufio.NewScanner(in); lines.Scan(); {
		command, count, _ := strings.Cut(lines.Text(), " ")
		switch command {
		case "step", "steps":
			err = r.timed(out, batch, count, joined)
		case "mem":
			err = sayMemory(out)
		default:
			err = fmt.Errorf("unknown command %q", command)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// timed takes steps, one if count is empty, and answers with the time per step and the last loss,
// and in a group with what the process exchanged.
func (r *Run) timed(out io.Writer, batch tensor.Batch, count string, joined *ort.Group) error {
	n := 1
	if count != "" {
		var err error
		if n, err = strconv.Atoi(count); err != nil || n < 1 {
			return fmt.Errorf("%q steps", count)
		}
	}
	ort.Exchanges()
	begin, loss := time.Now(), 0.0
	for range n {
		scalars, err := r.Take(batch, batch, Rate)
		if err != nil {
			return err
		}
		loss = scalars["loss"]
	}
	sayChoice()
	answer := map[string]any{"ms": float64(time.Since(begin).Microseconds()) / 1000 / float64(n), "loss": loss}
	if math.IsNaN(loss) || math.IsInf(loss, 0) {
		answer["loss"] = nil // JSON cannot represent it
	}
	if joined != nil {
		if err := exchanged(answer, n, joined); err != nil {
			return err
		}
	}
	return json.NewEncoder(out).Encode(answer)
}

// sayChoice reports, after the first steps, the time spent on choosing kernels.
func sayChoice() {
	if chosen := ort.ConvSearches().Sentence(); chosen != "" {
		fmt.Fprintln(os.Stderr, "kernels", chosen)
	}
}

func sayMemory(out io.Writer) error {
	bytes, err := peakMemory()
	if err == nil {
		_, err = fmt.Fprintf(out, "{\"bytes\": %d}\n", bytes)
	}
	return err
}

// peakMemory returns the peak resident size of this process, in bytes.
func peakMemory() (int64, error) {
	status, err := os.ReadFile("/proc/self/status")
	if err != nil {
		return 0, err
	}
	for line := range strings.SplitSeq(string(status), "\n") {
		if kb, ok := strings.CutPrefix(line, "VmHWM:"); ok {
			n, err := strconv.ParseInt(strings.TrimSuffix(strings.TrimSpace(kb), " kB"), 10, 64)
			return n * 1024, err
		}
	}
	return 0, fmt.Errorf("no VmHWM in /proc/self/status")
}
