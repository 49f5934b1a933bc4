package steps

import (
	"errors"
	"fmt"
	"time"

	"vicreg/models/ort"
	"vicreg/models/tensor"
	"vicreg/scripts/bench/peer"
)

// The steps compared on a device, without device settings.
var (
	R50 = Setup{Name: "r50", Model: "resnet50", Stem: "imagenet", Expander: "8192-8192-8192", Width: 64, Size: 224, Batch: 256}
	R18 = Setup{Name: "r18", Model: "resnet18", Stem: "cifar", Expander: "2048-2048-2048", Width: 64, Size: 32, Batch: 512}
)

// Small scales the setup down for a quick run on a CPU, keeping its structure.
func (s Setup) Small() Setup {
	s.Width, s.Batch, s.Expander = 8, 16, "64-64-64"
	if s.Size > 64 {
		s.Size, s.Batch = 64, 8
	}
	return s
}

// On sets what a setup runs on: like vicreg train on the host, and in the given precision on a
// device.
func (s Setup) On(d ort.Device, precision string, threads int) Setup {
	s.Device, s.Precision, s.Kernels, s.Threads = d.String(), precision, "auto", threads
	s.Capture = d.Kind != tensor.Host
	return s
}

// The sides of Compare.
const (
	Vicreg   = "vicreg"
	Launched = "vicreg, not captured"
	Eager    = "PyTorch eager"
	Compiled = "PyTorch compiled"
)

// Compare runs our step, PyTorch's eager one in channels_last and its compiled one; then, as time
// permits, the first two again, which shows how far the machine drifts, and ours without captured
// launches. PyTorch is skipped if python is empty. A failing side does not stop the others; it is
// an error only if it is one of the first two.
func (a *Alone) Compare(s Setup, python string) error {
	first, more := []Side{Ours(Vicreg, s)}, []Side{}
	device := a.Device.Kind != tensor.Host
	if python == "" {
		fmt.Println("  SKIPPED: PyTorch, which no Python here has")
	} else {
		first = append(first, Torch(Eager, python, s, "channels_last"))
	}
	if device && python != "" {
		more = append(more, Torch(Compiled, python, s, "channels_last", "--compile"))
	}
	more = append(more, first...)
	if device {
		launched := s
		launched.Capture = false
		more = append(more, Ours(Launched, launched))
	}
	err := a.all(first)
	for _, side := range more {
		if !a.Until.IsZero() && time.Until(a.Until) < forASide {
			fmt.Printf("  LEFT OUT, for want of time: %s\n", side.Name)
			continue
		}
		a.all([]Side{side}) // reports failures itself
	}
	return err
}

// forASide is the time that a side gets to start and be measured.
const forASide = 35 * time.Second

func (a *Alone) all(sides []Side) error {
	var errs []error
	for _, s := range sides {
		if err := a.Run(s); err != nil {
			errs = append(errs, fmt.Errorf("%s: %w", s.Name, err))
			fmt.Printf("  %-22s FAILED: %v\n", s.Name, err)
		}
	}
	return errors.Join(errs...)
}

// Over returns the images per second and the memory of one side relative to another's; false if one
// of them did not run.
func (a *Alone) Over(side, other string) (speed, memory float64, ok bool) {
	x, y := a.Of(side), a.Of(other)
	if x == nil || y == nil {
		return 0, 0, false
	}
	return a.PerSecond(side) / a.PerSecond(other), x.Bytes / y.Bytes, true
}

// Figures adds the measurements under keys with a prefix: images per second of each side, and ours
// relative to the others'.
func (a *Alone) Figures(f *peer.Figures, prefix string) {
	keys := map[string]string{Vicreg: "ours", Launched: "launched", Eager: "eager", Compiled: "compiled"}
	for _, side := range []string{Vicreg, Launched, Eager, Compiled} {
		if a.Of(side) != nil {
			f.Add(prefix+keys[side], a.PerSecond(side))
			f.Add(prefix+keys[side]+"_mb", a.Of(side).Bytes/1e6)
		}
	}
	for _, other := range []string{Eager, Compiled} {
		if speed, memory, ok := a.Over(Vicreg, other); ok {
			f.Add(prefix+"over_"+keys[other], speed)
			f.Add(prefix+"memory_over_"+keys[other], memory)
		}
	}
	if own := a.Of(Vicreg); own != nil {
		f.Add(prefix+"drift", own.Medians[len(own.Medians)-1]/own.Medians[0])
	}
}
