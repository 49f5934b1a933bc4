package imaging

import "strings"

// Conversion says how a picture file becomes 8-bit RGB where that is a matter of
// choice. It is the same wherever a model meets pictures: a run keeps it, and an
// exported model says it (Preprocess). The zero value is what Pillow's convert("RGB")
// does, as Decoder.Decode describes it.
type Conversion struct {
	Levels     Levels     `json:"levels,omitzero"`     // of pictures with 16 bits a channel
	Background Background `json:"background,omitzero"` // behind transparent ones
}

// Validate reports what makes no sense.
func (c Conversion) Validate() error { return c.Levels.Validate() }

// Describe says in words what is not the default, "" when nothing is.
func (c Conversion) Describe() string {
	var parts []string
	if c.Levels != (Levels{}) {
		parts = append(parts, "levels "+c.Levels.String())
	}
	if c.Background.Set {
		parts = append(parts, "transparent images on "+c.Background.String())
	}
	return strings.Join(parts, ", ")
}

// Facts are what a file holds and its pixels do not show.
type Facts struct {
	Transparent bool // a pixel is not opaque
	Deep        bool // it has 16 bits a channel
	// Low and High are the smallest and the largest value of the colours of such a
	// picture as it is stored, without those that a background hides; Inner are the two
	// that Levels.Auto takes.
	Low, High uint16
	Inner     [2]uint16
}
