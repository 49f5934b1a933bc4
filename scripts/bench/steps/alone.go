package steps

import (
	"fmt"
	"slices"
	"time"

	"vicreg/models/ort"
	"vicreg/models/tensor"
	"vicreg/scripts/bench/peer"
)

// Alone runs sides one after another, each with the device to itself: two steps of this size do not
// fit on one. Measurements are kept by the side's name, so a side may run again, to show how far
// the machine drifts.
type Alone struct {
	Device ort.Device
	Rounds int           // number of measured rounds, each of several steps with one wait at the end
	Round  time.Duration // target duration of a round
	Batch  int
	Until  time.Time // deadline at which a running side is killed; zero for none

	blocks map[string]*Block
}

// Block holds the measurements of a side.
type Block struct {
	Ms      []float64 // of one step, by round
	Medians []float64 // of Ms, by run of the side
	Bytes   float64   // peak memory, of the device or else of the host
}

// Of returns a side's measurements, nil if it did not complete.
func (a *Alone) Of(name string) *Block { return a.blocks[name] }

// PerSecond returns the batch size over the median time of a step.
func (a *Alone) PerSecond(name string) float64 {
	return 1000 * float64(a.Batch) / peer.Median(a.blocks[name].Ms)
}

// Run starts a side, warms it up, measures it, stops it and prints a line.
func (a *Alone) Run(s Side) error {
	idle, err := a.used()
	if err != nil {
		return err
	}
	begin := time.Now()
	p, err := s.Start()
	if err != nil {
		return err
	}
	defer p.Stop()
	if !a.Until.IsZero() {
		defer time.AfterFunc(time.Until(a.Until), p.Kill).Stop()
	}
	var first, last took
	if err := p.Ask("steps 1", &first); err != nil {
		return err
	}
	if err := p.Ask("steps 3", &last); err != nil {
		return err
	}
	ready := time.Since(begin)
	times, last, err := a.measure(p, last.Ms)
	if err != nil {
		return err
	}
	bytes, err := a.taken(p, idle)
	if err != nil {
		return err
	}
	a.keep(s.Name, times, bytes)
	fmt.Printf("  %-22s median %8.2f ms (%.2f to %.2f)  %8.1f images/s  memory %6.0f MB  first step after %.1f s, loss %.4f then %.4f\n", s.Name,
		peer.Median(times), slices.Min(times), slices.Max(times), 1000*float64(a.Batch)/peer.Median(times), bytes/1e6, ready.Seconds(), first.Loss, last.Loss)
	return nil
}

// measure runs rounds of as many steps as fit the duration of a round.
func (a *Alone) measure(p *peer.Process, ms float64) (times []float64, last took, err error) {
	n := min(max(int(a.Round.Seconds()*1000/ms), 1), 1000)
	for range a.Rounds {
		if err := p.Ask(fmt.Sprintf("steps %d", n), &last); err != nil {
			return nil, last, err
		}
		times = append(times, last.Ms)
	}
	return times, last, nil
}

func (a *Alone) keep(name string, times []float64, bytes float64) {
	if a.blocks == nil {
		a.blocks = map[string]*Block{}
	}
	b := a.blocks[name]
	if b == nil {
		b = &Block{}
		a.blocks[name] = b
	}
	b.Ms, b.Medians = append(b.Ms, times...), append(b.Medians, peer.Median(times))
	b.Bytes = max(b.Bytes, bytes)
}

// used returns the memory in use on the device now.
func (a *Alone) used() (float64, error) {
	if a.Device.Kind == tensor.Host {
		return 0, nil
	}
	return DeviceMemory(a.Device)
}

// taken returns the memory that the process has claimed. On a device neither side returns memory,
// and each runs alone, so the memory in use shows it, including that of the driver and its
// libraries, measured alike for all.
func (a *Alone) taken(p *peer.Process, idle float64) (float64, error) {
	if a.Device.Kind == tensor.Host {
		var answer struct{ Bytes float64 }
		err := p.Ask("mem", &answer)
		return answer.Bytes, err
	}
	now, err := DeviceMemory(a.Device)
	return now - idle, err
}
