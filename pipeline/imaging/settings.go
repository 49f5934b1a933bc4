package imaging

import (
	"fmt"
	"strconv"
	"strings"
)

// setting is a field of a Recipe under its user-facing name.
type setting struct {
	name, meaning string
	set           func(r *Recipe, value string) error
}

// settings lists every field of a Recipe.
func settings() []setting {
	view := func(name, meaning string, field func(*View) *float64) setting {
		return setting{name, "probability of " + meaning, func(r *Recipe, value string) error {
			return numbers(value, 1, field(&r.Views[0]), field(&r.Views[1]))
		}}
	}
	one := func(name, meaning string, field func(*Recipe) *float64) setting {
		return setting{name, meaning, func(r *Recipe, value string) error { return numbers(value, 0, field(r)) }}
	}
	span := func(name, meaning string, field func(*Recipe) *[2]float64) setting {
		return setting{name, meaning, func(r *Recipe, value string) error {
			f := field(r)
			return numbers(value, 0, &f[0], &f[1])
		}}
	}
	return []setting{
		span("area", "LO:HI, fraction of the image area that a crop covers", func(r *Recipe) *[2]float64 { return &r.Area }),
		span("ratio", "LO:HI, aspect ratio (width / height) of a crop", func(r *Recipe) *[2]float64 { return &r.Ratio }),
		{"interpolation", "of a crop: bicubic or bilinear", func(r *Recipe, value string) error {
			r.Interpolation = value
			return nil
		}},
		view("flip_h", "a horizontal flip", func(v *View) *float64 { return &v.FlipH }),
		view("flip_v", "a vertical flip", func(v *View) *float64 { return &v.FlipV }),
		view("rotate", "a rotation by 90, 180 or 270 degrees", func(v *View) *float64 { return &v.Rotate }),
		view("jitter", "colour jitter", func(v *View) *float64 { return &v.Jitter }),
		one("brightness", "of the jitter: factor 1-X to 1+X", func(r *Recipe) *float64 { return &r.Brightness }),
		one("contrast", "of the jitter: factor 1-X to 1+X", func(r *Recipe) *float64 { return &r.Contrast }),
		one("saturation", "of the jitter: factor 1-X to 1+X", func(r *Recipe) *float64 { return &r.Saturation }),
		one("hue", "of the jitter: shift -X to X of the colour circle, at most 0.5", func(r *Recipe) *float64 { return &r.Hue }),
		view("grey", "greyscale", func(v *View) *float64 { return &v.Grey }),
		view("blur", "a Gaussian blur", func(v *View) *float64 { return &v.Blur }),
		span("sigma", "LO:HI, std of the blur in pixels of the crop", func(r *Recipe) *[2]float64 { return &r.Sigma }),
		view("solarise", "inverting bright pixels", func(v *View) *float64 { return &v.Solarise }),
		{"threshold", "0 to 255, from which solarise inverts pixels", func(r *Recipe, value string) error {
			n, err := strconv.ParseUint(value, 10, 8)
			if err != nil {
				return fmt.Errorf("want a whole number from 0 to 255")
			}
			r.Threshold = uint8(n)
			return nil
		}},
		{"mean", "R:G:B, subtracted from pixels scaled to 0–1", func(r *Recipe, value string) error { return channels(value, &r.Mean) }},
		{"std", "R:G:B, that they are then divided by", func(r *Recipe, value string) error { return channels(value, &r.Std) }},
	}
}

// Set assigns fields of r from "NAME=VALUE,NAME=VALUE...": the names are those of r in JSON, the
// parts of a value are separated by colons, and a single probability applies to both views. Names,
// values and the result as a whole are checked (Validate); after an error r is unchanged.
func (r *Recipe) Set(assignments string) error {
	changed := *r
	for a := range strings.SplitSeq(assignments, ",") {
		name, value, _ := strings.Cut(strings.TrimSpace(a), "=")
		if err := changed.set(name, value); err != nil {
			return err
		}
	}
	if err := changed.Validate(); err != nil {
		return err
	}
	*r = changed
	return nil
}

func (r *Recipe) set(name, value string) error {
	known := ""
	for _, s := range settings() {
		if s.name == name {
			if err := s.set(r, value); err != nil {
				return fmt.Errorf("augmentation %s=%s: %w", name, value, err)
			}
			return nil
		}
		known += ", " + s.name
	}
	return fmt.Errorf("unknown augmentation setting %q (known: %s)", name, known[2:])
}

// Settings describes what Set accepts, one setting per line.
func Settings() string {
	var b strings.Builder
	for _, s := range settings() {
		fmt.Fprintf(&b, "  %-14s %s\n", s.name, s.meaning)
	}
	return b.String()
}

// numbers parses one number per target, separated by colons. With least > 0 it accepts as few as
// least; the last one given is then used for the remaining targets.
func numbers(value string, least int, targets ...*float64) error {
	parts := strings.Split(value, ":")
	if len(parts) > len(targets) || len(parts) < len(targets) && (least == 0 || len(parts) < least) {
		if len(targets) == 1 {
			return fmt.Errorf("want one number")
		}
		return fmt.Errorf("want %d numbers separated by colons", len(targets))
	}
	for i, t := range targets {
		v, err := strconv.ParseFloat(parts[min(i, len(parts)-1)], 64)
		if err != nil {
			return fmt.Errorf("%q is not a number", parts[min(i, len(parts)-1)])
		}
		*t = v
	}
	return nil
}

func channels(value string, target *[3]float32) error {
	var v [3]float64
	if err := numbers(value, 0, &v[0], &v[1], &v[2]); err != nil {
		return err
	}
	*target = [3]float32{float32(v[0]), float32(v[1]), float32(v[2])}
	return nil
}
