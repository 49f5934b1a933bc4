package imaging

import "strings"

// Conversion configures the choices in turning an image file into 8-bit RGB. It is the same
// wherever a model reads images: a run stores it, and an exported model records it (Preprocess).
// The zero value is what Pillow's convert("RGB") does, as described at Decoder.Decode.
type Conversion struct {
	Levels     Levels     `json:"levels,omitzero"`     // for images with 16 bits per channel
	Background Background `json:"background,omitzero"` // behind transparent images
}

// Validate reports an invalid setting.
func (c Conversion) Validate() error { return c.Levels.Validate() }

// Describe describes the settings that differ from the default, "" when none does.
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

// Facts are properties of a file that its converted pixels do not show.
type Facts struct {
	Transparent bool // some pixel is not opaque
	Deep        bool // it has 16 bits per channel
	// Low and High are the smallest and the largest stored colour value of such an image, excluding
	// those that a background hides; Inner are the two values that Levels.Auto uses.
	Low, High uint16
	Inner     [2]uint16
}
