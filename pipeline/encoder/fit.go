package encoder

import (
	"flag"
	"math"

	"vicreg/pipeline/imaging"
)

// FitFlag adds the flag that says how a picture becomes the square that a model sees;
// when begins its text.
func FitFlag(fs *flag.FlagSet, fit *imaging.Fit, when string) {
	fs.TextVar(fit, "fit", imaging.FitCrop, when+"`WAY` of images that are not square: crop cuts off the ends of the longer side, "+
		"pad shows all of the image, smaller and between bars of the --background or else the mean colour, squash all of it, out of shape")
}

// Fitted is p with another fit. The bars of FitPad have the colour of the background,
// if there is one, and else the mean of the normalisation, which a network sees as 0.
func Fitted(p imaging.Preprocess, fit imaging.Fit, n Normalization) imaging.Preprocess {
	p.Fit, p.Fill = fit, imaging.Background{}
	if fit == imaging.FitCrop {
		return p
	}
	p.Resize = 0 // more than Crop would cut something off again
	if fit == imaging.FitPad {
		if p.Fill = p.Background; !p.Fill.Set {
			p.Fill = n.colour()
		}
	}
	return p
}

// colour is the mean as a colour.
func (n Normalization) colour() imaging.Background {
	byteOf := func(v float64) uint8 { return uint8(math.Round(255 * min(max(v, 0), 1))) }
	return imaging.Background{Set: true, R: byteOf(n.Mean[0]), G: byteOf(n.Mean[1]), B: byteOf(n.Mean[2])}
}
