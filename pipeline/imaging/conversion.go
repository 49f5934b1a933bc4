package imaging

// Conversion says how a picture file becomes 8-bit RGB where that is a matter of
// choice. It is the same wherever a model meets pictures: a run keeps it, and an
// exported model says it (Preprocess). The zero value is what Pillow's convert("RGB")
// does, as Decoder.Decode describes it.
type Conversion struct {
	Levels Levels `json:"levels,omitzero"` // of pictures with 16 bits a channel
}

// Validate reports what makes no sense.
func (c Conversion) Validate() error { return c.Levels.Validate() }

// Describe says in words what is not the default, "" when nothing is.
func (c Conversion) Describe() string {
	if c.Levels == (Levels{}) {
		return ""
	}
	return "levels " + c.Levels.String()
}

// Facts are what a file holds and its pixels do not show.
type Facts struct {
	Deep bool // it has 16 bits a channel
	// Low and High are the smallest and the largest value of the colours of such a
	// picture as it is stored; Inner are the two that Levels.Auto takes.
	Low, High uint16
	Inner     [2]uint16
}
