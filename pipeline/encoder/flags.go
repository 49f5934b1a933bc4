package encoder

import (
	"errors"
	"flag"
	"fmt"
	"path/filepath"
	"strconv"
	"strings"

	"vicreg/models/ort"
	"vicreg/pipeline/imaging"
	"vicreg/pipeline/usage"
)

// Flags are the flags of a command that opens a vicreg model or, with --foreign, one from
// elsewhere.
type Flags struct {
	fs      *flag.FlagSet
	foreign bool
	how     Foreign
}

// foreignFlags describe how images are fed to a foreign model; a vicreg model records that itself.
var foreignFlags = []string{"background", "crop", "fit", "input", "interpolation", "layout", "levels", "mean", "output", "resize", "std"}

// Register adds the flags to a command's.
func (f *Flags) Register(fs *flag.FlagSet) {
	f.fs = fs
	fs.BoolVar(&f.foreign, "foreign", false, "the model is not vicreg's but takes float32 or float16 [N, 3, H, W] and gives [N, D]; --crop, --mean and --std say what it was trained with")
	fs.IntVar(&f.how.Resize, "resize", 0, "with --foreign: `pixels` to which the shorter side is scaled; by default those of --crop")
	fs.IntVar(&f.how.Crop, "crop", 0, "with --foreign: side in `pixels` of the square that is cut from the centre; see --fit")
	fs.StringVar(&f.how.Interpolation, "interpolation", "bilinear", "with --foreign: `filter` that scales, bilinear or bicubic")
	FitFlag(fs, &f.how.Fit, "with --foreign: ")
	ConversionFlags(fs, &f.how.Conversion, "with --foreign: ")
	channels(fs, &f.how.Mean, "mean", "with --foreign: `R,G,B` taken off pixels of 0 to 1; one number holds for all three")
	channels(fs, &f.how.Std, "std", "with --foreign: `R,G,B` that they are then divided by; --mean 0 --std 0.003921569 leaves 0 to 255")
	fs.StringVar(&f.how.Layout, "layout", "nchw", "with --foreign: `order` of the input's dimensions, nchw or nhwc")
	fs.StringVar(&f.how.Input, "input", "", "with --foreign: `NAME` of the input that takes the pictures; by default the only one")
	fs.StringVar(&f.how.Output, "output", "", "with --foreign: `NAME` of the output that is the vector; by default the only one")
}

// ConversionFlags adds the flags that control how files become pixels; when prefixes their help
// texts.
func ConversionFlags(fs *flag.FlagSet, c *imaging.Conversion, when string) {
	fs.TextVar(&c.Background, "background", imaging.Background{}, when+"`COLOUR` that transparent images are laid upon, as #rrggbb; by default their alpha is dropped, and the colours that it hid are seen")
	fs.TextVar(&c.Levels, "levels", imaging.Levels{}, when+"`VALUES` of images with 16 bits a channel that become black and white: full, or LOW:HIGH, such as 0:4095 for 12-bit data, or auto, the 0.5 and 99.5 percentiles of each image")
}

// channels adds a flag of one number per channel; a single number applies to all three.
func channels(fs *flag.FlagSet, target *[3]float64, name, text string) {
	fs.Func(name, text, func(value string) error {
		parts := strings.Split(value, ",")
		if len(parts) != 1 && len(parts) != 3 {
			return errors.New("want three numbers parted by commas, or one")
		}
		for i := range target {
			v, err := strconv.ParseFloat(strings.TrimSpace(parts[i%len(parts)]), 64)
			if err != nil {
				return fmt.Errorf("%q is no number", parts[i%len(parts)])
			}
			target[i] = v
		}
		return nil
	})
}

// Validate reports conflicting flags, once they are parsed.
func (f *Flags) Validate() error {
	if !f.foreign {
		for _, name := range foreignFlags {
			if usage.Given(f.fs, name) {
				return usage.Errorf("--%s is for a model from elsewhere, with --foreign; vicreg's own says in its file how pictures get to it", name)
			}
		}
		return nil
	}
	if err := usage.Require(f.fs, "crop", "mean", "std"); err != nil {
		return usage.Errorf("--foreign: %w; no file says what its model was trained with", err)
	}
	if f.how.Fit != imaging.FitCrop && f.how.Resize > 0 {
		return usage.Errorf("--foreign: --resize is for --fit crop: with %v, all of each picture is scaled to --crop", f.how.Fit)
	}
	f.how.Preprocess = Fitted(f.how.Preprocess, f.how.Fit, f.how.Normalization)
	if err := f.how.Validate(); err != nil {
		return usage.Errorf("--foreign: %w", err)
	}
	if f.how.Resize > 0 && f.how.Resize < f.how.Crop {
		return usage.Errorf("--foreign: --resize %d is less than --crop %d: there would be black around each picture", f.how.Resize, f.how.Crop)
	}
	return nil
}

// Open opens the model file at path as specified by the flags, after Validate; see the functions
// Open and OpenForeign.
func (f *Flags) Open(rt *ort.Runtime, path string, opt ort.Options, more ...ort.Options) (*Encoder, error) {
	if err := f.Validate(); err != nil {
		return nil, err
	}
	if f.foreign {
		how := f.how
		how.Name = filepath.Base(path)
		return OpenForeign(rt, path, how, opt, more...)
	}
	e, err := Open(rt, path, opt, more...)
	if errors.Is(err, ErrForeign) {
		err = fmt.Errorf("%w; for a model from elsewhere give --foreign and --crop, --mean and --std", err)
	}
	return e, err
}
