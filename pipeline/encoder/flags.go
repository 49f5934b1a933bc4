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
	fs.BoolVar(&f.foreign, "foreign", false, "the model was not exported by vicreg: it maps float32 or float16 [N, 3, H, W] to [N, D]; describe the preprocessing it was trained with by --crop, --mean and --std")
	fs.IntVar(&f.how.Resize, "resize", 0, "with --foreign: scale the shorter side to this many `pixels`; by default those of --crop")
	fs.IntVar(&f.how.Crop, "crop", 0, "with --foreign: side in `pixels` of the square cropped from the centre; see --fit")
	fs.StringVar(&f.how.Interpolation, "interpolation", "bilinear", "with --foreign: resampling `filter`: bilinear or bicubic")
	FitFlag(fs, &f.how.Fit, "with --foreign: ")
	ConversionFlags(fs, &f.how.Conversion, "with --foreign: ")
	channels(fs, &f.how.Mean, "mean", "with --foreign: mean `R,G,B` subtracted from pixels scaled to 0–1; a single number applies to all")
	channels(fs, &f.how.Std, "std", "with --foreign: std `R,G,B` that they are then divided by; --mean 0 --std 0.003921569 keeps pixels at 0–255")
	fs.StringVar(&f.how.Layout, "layout", "nchw", "with --foreign: `order` of the input dimensions: nchw or nhwc")
	fs.StringVar(&f.how.Input, "input", "", "with --foreign: `NAME` of the image input; by default the only one")
	fs.StringVar(&f.how.Output, "output", "", "with --foreign: `NAME` of the vector output; by default the only one")
}

// ConversionFlags adds the flags that control how files become pixels; when prefixes their help
// texts.
func ConversionFlags(fs *flag.FlagSet, c *imaging.Conversion, when string) {
	fs.TextVar(&c.Background, "background", imaging.Background{}, when+"background `COLOUR` for transparent images, as #rrggbb; by default the alpha channel is dropped, which reveals the colours it hid")
	fs.TextVar(&c.Levels, "levels", imaging.Levels{}, when+"`VALUES` mapped to black and white in images with 16 bits per channel: full; LOW:HIGH, such as 0:4095 for 12-bit data; or auto, the 0.5 and 99.5 percentiles of each image")
}

// channels adds a flag of one number per channel; a single number applies to all three.
func channels(fs *flag.FlagSet, target *[3]float64, name, text string) {
	fs.Func(name, text, func(value string) error {
		parts := strings.Split(value, ",")
		if len(parts) != 1 && len(parts) != 3 {
			return errors.New("want one number, or three separated by commas")
		}
		for i := range target {
			v, err := strconv.ParseFloat(strings.TrimSpace(parts[i%len(parts)]), 64)
			if err != nil {
				return fmt.Errorf("%q is not a number", parts[i%len(parts)])
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
				return usage.Errorf("--%s requires --foreign; a vicreg model stores its own preprocessing", name)
			}
		}
		return nil
	}
	if err := usage.Require(f.fs, "crop", "mean", "std"); err != nil {
		return usage.Errorf("--foreign: %w; such a model does not store what preprocessing it was trained with", err)
	}
	if f.how.Fit != imaging.FitCrop && f.how.Resize > 0 {
		return usage.Errorf("--foreign: --resize is for --fit crop: with %v, the whole picture is scaled to --crop", f.how.Fit)
	}
	f.how.Preprocess = Fitted(f.how.Preprocess, f.how.Fit, f.how.Normalization)
	if err := f.how.Validate(); err != nil {
		return usage.Errorf("--foreign: %w", err)
	}
	if f.how.Resize > 0 && f.how.Resize < f.how.Crop {
		return usage.Errorf("--foreign: --resize %d is less than --crop %d: each picture would get a black border", f.how.Resize, f.how.Crop)
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
		err = fmt.Errorf("%w; for other models give --foreign with --crop, --mean and --std", err)
	}
	return e, err
}
