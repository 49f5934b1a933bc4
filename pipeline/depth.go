package pipeline

import (
	"bytes"
	"context"
	"fmt"
	"io"

	"vicreg/pipeline/dataset"
	"vicreg/pipeline/imaging"
)

// depth tells of the images with 16 bits a channel among those that were looked at.
type depth struct {
	Looked int  `json:"-"`
	Sample bool `json:"-"` // there are more
	Images int  `json:"images"`
	Low    int  `json:"low"` // the least value of all, as stored, and the most
	High   int  `json:"high"`
	// Inner are the least and the most of what Levels.Auto would take of each image.
	Inner  [2]int `json:"inner"`
	Narrow int    `json:"narrow"` // images whose inner values take little of the levels
}

// narrowShare of the levels is little: 14 bits of 16 are just as much.
const narrowShare = 4

func (d *depth) add(f imaging.Facts, l imaging.Levels) {
	d.Looked++
	if !f.Deep {
		return
	}
	low, high, inner := int(f.Low), int(f.High), [2]int{int(f.Inner[0]), int(f.Inner[1])}
	if d.Images++; d.Images > 1 {
		low, high = min(low, d.Low), max(high, d.High)
		inner = [2]int{min(inner[0], d.Inner[0]), max(inner[1], d.Inner[1])}
	}
	d.Low, d.High, d.Inner = low, high, inner
	if narrow(f, l) {
		d.Narrow++
	}
}

// narrow says that levels other than auto make an image lie within a fourth of what
// 8 bits hold: almost black, or without contrast.
func narrow(f imaging.Facts, l imaging.Levels) bool {
	low, high := int(l.Low), int(l.High)
	switch {
	case l.Auto:
		return false
	case l == imaging.Levels{}:
		high = 1<<16 - 1
	}
	inside := func(v uint16) int { return min(max(int(v), low), high) }
	return narrowShare*(inside(f.Inner[1])-inside(f.Inner[0])) <= high-low
}

// warning is a line on images of which little would be left, "" when they are few.
func (d *depth) warning(l imaging.Levels) string {
	if 2*d.Narrow <= d.Images {
		return ""
	}
	of := "the range"
	if l != (imaging.Levels{}) {
		of = "--levels " + l.String()
	}
	images := "images"
	if d.Sample {
		images = "images looked at"
	}
	return fmt.Sprintf("%d of %d %s have 16 bits a channel and use at most 1/%d of %s, with values from %d to %d: see --levels",
		d.Narrow, d.Looked, images, narrowShare, of, d.Low, d.High)
}

// sampledDepth bounds how many images are looked at before a run.
const sampledDepth = 64

// depthOf looks at a sample of a set: into the headers, and at the values of images with
// 16 bits a channel. Bad files say nothing.
func depthOf(ctx context.Context, set *dataset.Set, limits imaging.Limits, l imaging.Levels) (d depth, err error) {
	d.Sample = set.Len() > sampledDepth
	var f imaging.Facts
	decoder := imaging.Decoder{Facts: &f}
	defer decoder.Close()
	var m imaging.RGB
	for _, i := range evenly(set.Len(), sampledDepth) {
		if err := ctx.Err(); err != nil {
			return d, err
		}
		data, err := set.ReadFile(i)
		if err != nil {
			continue
		}
		info, err := imaging.Probe(bytes.NewReader(data), int64(len(data)))
		if err != nil {
			continue
		}
		f = imaging.Facts{}
		if info.Deep && decoder.Decode(&m, data, limits) != nil {
			continue
		}
		d.add(f, l)
	}
	return d, nil
}

// warnOfDepth says so when the images of a run would be almost black.
func (t *trainFlags) warnOfDepth(ctx context.Context, train *dataset.Set, stderr io.Writer) error {
	d, err := depthOf(ctx, train, t.Limits(), t.Levels)
	if w := d.warning(t.Levels); w != "" && err == nil {
		fmt.Fprintln(stderr, "vicreg train:", w)
	}
	return err
}
