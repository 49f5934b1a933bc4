package pipeline

import (
	"bufio"
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"math"
	"os"

	"vicreg/pipeline/checkpoint"
	"vicreg/pipeline/whole"
)

const metricsFile = "metrics.jsonl"

// metrics appends JSON objects, one per line, to the run's metrics file. Non-finite numbers, which
// JSON cannot represent, are omitted.
type metrics struct {
	file  *os.File // nil for noMetrics
	out   *bufio.Writer
	first *Health // partly, from the line before the first step; nil if there is none
}

// noMetrics is for the processes that do not write metrics.
func noMetrics() *metrics { return &metrics{out: bufio.NewWriter(io.Discard)} }

// openMetrics opens the file for a run that is at the given step. It truncates lines of later
// steps, written after the checkpoint that the run resumes from, and incomplete lines left by a
// crash.
func openMetrics(path string, step int64) (*metrics, error) {
	data, err := os.ReadFile(path)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("open metrics: %w", err)
	}
	kept := upTo(data, step)
	if !bytes.HasPrefix(data, kept) {
		if err := whole.WriteFile(path, kept); err != nil {
			return nil, fmt.Errorf("open metrics: %w", err)
		}
	}
	f, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE, 0o666)
	if err != nil {
		return nil, fmt.Errorf("open metrics: %w", err)
	}
	_, seekErr := f.Seek(int64(len(kept)), io.SeekStart)
	if err := errors.Join(f.Truncate(int64(len(kept))), seekErr); err != nil {
		f.Close()
		return nil, fmt.Errorf("open metrics: %w", err)
	}
	return &metrics{f, bufio.NewWriter(f), beforeFirst(kept)}, nil
}

// upTo returns the lines of steps up to the given one.
func upTo(data []byte, step int64) (kept []byte) {
	for line := range bytes.Lines(data) {
		var at struct {
			Step *int64 `json:"step"`
		}
		if json.Unmarshal(line, &at) == nil && at.Step != nil && *at.Step <= step && bytes.HasSuffix(line, []byte("\n")) {
			kept = append(kept, line...)
		}
	}
	return kept
}

// beforeFirst finds the line on the held-out images before the first step.
func beforeFirst(lines []byte) *Health {
	for line := range bytes.Lines(lines) {
		var at struct {
			Kind            string
			Step            int64
			Rank, Retrieval float64
			Images          int `json:"held_out"`
		}
		if json.Unmarshal(line, &at) == nil && at.Kind == "epoch" && at.Step == 0 {
			return &Health{Rank: at.Rank, Retrieval: at.Retrieval, Images: at.Images}
		}
		if at.Step > 0 {
			break
		}
	}
	return nil
}

// step writes a step's scalars; position is the one after the step.
func (m *metrics) step(position checkpoint.Position, epoch int, scalars map[string]float64, accepted bool, p *progress) error {
	line := map[string]any{"kind": "step", "step": position.Step, "epoch": epoch, "accepted": accepted,
		"images_per_second": math.Round(p.rate*10) / 10, "wait_share": math.Round(p.waitShare()*1e4) / 1e4}
	for name, x := range scalars {
		line[name] = x
	}
	return m.write(line)
}

// epoch writes the line for an epoch; h is nil if no image is held out.
func (m *metrics) epoch(position checkpoint.Position, bad int, collapsed bool, h *Health) error {
	line := map[string]any{"kind": "epoch", "step": position.Step, "epoch": position.Epoch, "bad_images": bad, "collapsed": collapsed}
	if h != nil {
		for name, x := range h.values() {
			line[name] = x
		}
	}
	return m.write(line)
}

func (m *metrics) write(line map[string]any) error {
	for name, x := range line {
		if f, ok := x.(float64); ok && (math.IsNaN(f) || math.IsInf(f, 0)) {
			delete(line, name)
		}
	}
	b, err := json.Marshal(line)
	if err == nil {
		_, err = m.out.Write(append(b, '\n'))
	}
	if err != nil {
		return fmt.Errorf("write metrics: %w", err)
	}
	return nil
}

// Sync flushes all lines to disk.
func (m *metrics) Sync() error {
	if m.file == nil {
		return nil
	}
	if err := errors.Join(m.out.Flush(), m.file.Sync()); err != nil {
		return fmt.Errorf("write metrics: %w", err)
	}
	return nil
}

// Close flushes and closes the file.
func (m *metrics) Close() error {
	if m.file == nil {
		return nil
	}
	return errors.Join(m.out.Flush(), m.file.Close())
}
