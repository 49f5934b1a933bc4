package encoder

import (
	"flag"
	"math"

	"vicreg/pipeline/imaging"
)

// FitFlag adds the flag that selects how an image becomes the square input of a model; when
// prefixes its help text.
func FitFlag(fs *flag.FlagSet, fit *imaging.Fit, when string) {
	fs.TextVar(fit, "fit", imaging.FitCrop, when+"`HOW` to fit non-square images: crop the centre, "+
		"pad with bars in the --background colour or else the mean colour, or squash without keeping the aspect ratio")
}

// Fitted returns p with another fit. The padding of FitPad has the colour of the background, if one
// is set, else the mean of the normalisation, which a network sees as 0.
func Fitted(p imaging.Preprocess, fit imaging.Fit, n Normalization) imaging.Preprocess {
	p.Fit, p.Fill = fit, imaging.Background{}
	if fit == imaging.FitCrop {
		return p
	}
	p.Resize = 0 // a Resize above Crop would crop again
	if fit == imaging.FitPad {
		if p.Fill = p.Background; !p.Fill.Set {
			p.Fill = n.colour()
		}
	}
	return p
}

// colour returns the mean as a colour.
func (n Normalization) colour() imaging.Background {
	byteOf := func(v float64) uint8 { return uint8(math.Round(255 * min(max(v, 0), 1))) }
	return imaging.Background{Set: true, R: byteOf(n.Mean[0]), G: byteOf(n.Mean[1]), B: byteOf(n.Mean[2])}
}
