package pipeline

import (
	"bytes"
	"context"
	"fmt"
	"io"

	"vicreg/pipeline/dataset"
	"vicreg/pipeline/imaging"
)

// depth summarises the images with 16 bits per channel among those examined.
type depth struct {
	Looked int  `json:"-"`
	Sample bool `json:"-"` // only a sample was examined
	Images int  `json:"images"`
	Low    int  `json:"low"` // smallest value over all images, as stored; High is the largest
	High   int  `json:"high"`
	// Inner is the smallest lower and the largest upper end of what Levels.Auto would choose per
	// image.
	Inner  [2]int `json:"inner"`
	Narrow int    `json:"narrow"` // images whose inner values use little of the levels
}

// narrowShare: values that span at most 1/narrowShare of the levels, such as 14 bits of 16, use
// little.
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

// narrow reports whether fixed levels confine an image to a quarter of the 8-bit range or less:
// almost black, or without contrast.
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

// warning returns a line if little would be left of more than half of the 16-bit images, otherwise
// "".
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

// sampledDepth bounds how many images are examined before a run.
const sampledDepth = 64

// depthOf examines a sample of a set: the headers, and the values of images with 16 bits per
// channel. It ignores bad files.
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

// warnOfDepth warns if the images of a run would be almost black or without contrast.
func (t *trainFlags) warnOfDepth(ctx context.Context, train *dataset.Set, stderr io.Writer) error {
	d, err := depthOf(ctx, train, t.Limits(), t.Levels)
	if w := d.warning(t.Levels); w != "" && err == nil {
		fmt.Fprintln(stderr, "vicreg train:", w)
	}
	return err
}
