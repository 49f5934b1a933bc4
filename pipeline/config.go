package pipeline

import (
	"flag"
	"fmt"
	"math"
	"slices"
	"strconv"
	"strings"

	"vicreg/models"
	"vicreg/models/optim"
	"vicreg/pipeline/bulk"
	"vicreg/pipeline/dataset"
	"vicreg/pipeline/encoder"
	"vicreg/pipeline/imaging"
	"vicreg/pipeline/usage"
)

// Config is everything that determines what a run computes. Every checkpoint stores it, so that
// resuming and exporting need no flags.
type Config struct {
	Data    string  `json:"data"` // the folder of images, or anything else dataset.Open accepts
	Holdout float64 `json:"holdout"`
	// HoldoutLeast is the minimum number of held-out images if the fraction Holdout of a hash
	// selects fewer. Runs of older versions have none.
	HoldoutLeast int `json:"holdout_least,omitempty"`
	// HoldoutBelow is the fraction actually held out as a result; no image below it was ever
	// trained on. Runs of older versions have none.
	HoldoutBelow float64 `json:"holdout_below,omitempty"`
	Seed         uint64  `json:"seed"`

	Images  int    `json:"images"`   // training images, when the run began or was last resumed
	DataSet string `json:"data_set"` // fingerprint of the training images, checked on resuming

	Model    string `json:"model"`
	Stem     string `json:"stem"`
	Width    int    `json:"width"`
	Size     int    `json:"image_size"`
	Expander []int  `json:"expander"`
	Init     string `json:"init,omitempty"` // file the initial weights came from

	bulk.Files         // limits on image files
	imaging.Conversion // from image files to pixels, in training and in the exported model

	Recipe imaging.Recipe `json:"recipe"`
	Loss   models.Loss    `json:"loss"`

	Batch     int            `json:"batch"`
	Epochs    int            `json:"epochs"`
	Optimizer optim.Config   `json:"optimizer"`
	Schedule  optim.Schedule `json:"schedule"`

	// Precision is the run's current precision; empty means fp32. It may change on resuming.
	Precision precision `json:"precision,omitempty"`
}

// smallImage is the side up to which the CIFAR stem and recipe are the default: the ImageNet stem
// would reduce such an image to 16 pixels or fewer.
const smallImage = 64

// Upper limits far beyond anything that learns. Past the first two a single step can overflow
// float32, past the others a product of sizes can overflow an int.
const (
	maxRate        = 1e6
	maxCoefficient = 1e6
	maxWidth       = 4096
	maxExpander    = 1 << 17
	maxEpochs      = 1_000_000
)

// Bounds of --clip-norm: below minClip the epsilon of the division would dominate, above maxClip
// nothing would ever be clipped.
const minClip, maxClip = 1e-6, 1e6

// settings are the flags behind a Config, as given by the user.
type settings struct {
	Config
	recipe                  recipeFlags
	expander, optimizer     string
	lr, warmup, weightDecay float64
	clipNorm                float64
	decayGiven, warmupGiven bool // 0 is a valid value too
}

func (s *settings) register(fs *flag.FlagSet) {
	fs.StringVar(&s.Data, "data", "", "`DIR` with the images, searched recursively; or a text file with one path per line (a label after a tab is ignored); or tar shards: a file, a folder of them, or a pattern such as part-{000..127}.tar; or a quoted pattern of image files, such as 'photos/*.jpg'")
	fs.Float64Var(&s.Holdout, "holdout", 0.05, "`fraction` of images held out for monitoring, at least 2 images unless 0; chosen by a hash of the path")
	fs.Uint64Var(&s.Seed, "seed", 1, "random seed `N` for the initial weights, the order of the images and their views")
	fs.StringVar(&s.Model, "model", "resnet18", "`backbone`: "+strings.Join(models.ModelNames(), ", "))
	fs.StringVar(&s.Stem, "stem", "", "`kind` of first layer: imagenet (7x7 and pooling) or cifar (3x3); by default cifar up to 64 pixels")
	fs.IntVar(&s.Width, "width", 64, "number of `channels` of the first stage; the embedding has 8 times as many dimensions, 32 times for resnet50")
	fs.IntVar(&s.Size, "image-size", 224, "width and height of a view in `pixels`")
	fs.StringVar(&s.expander, "expander", "", "layer `widths` of the expander; by default 2048-2048-2048 with the cifar stem, else 8192-8192-8192")
	fs.StringVar(&s.Init, "init", "", "start from the weights in this safetensors `FILE`, with torchvision's names, instead of random ones")
	s.Files.Register(fs)
	encoder.ConversionFlags(fs, &s.Conversion, "")
	s.recipe.register(fs)
	fs.Float64Var(&s.Loss.Invariance, "invariance", 25, "`coefficient` of the invariance term")
	fs.Float64Var(&s.Loss.Variance, "variance", 25, "`coefficient` of the variance term")
	fs.Float64Var(&s.Loss.Covariance, "covariance", 1, "`coefficient` of the covariance term")
	fs.IntVar(&s.Batch, "batch", 256, "`images` per step")
	fs.IntVar(&s.Epochs, "epochs", 100, "number `N` of passes over the images")
	fs.StringVar(&s.optimizer, "optimizer", "", "optimizer `name`: lars, sgd or adamw; by default adamw, but lars for runs of 10,000 steps or more without --init")
	fs.Float64Var(&s.lr, "lr", 0, "peak learning `rate`; by default derived from optimizer, model, batch and epochs (a fifth of that with --init) and printed")
	fs.Float64Var(&s.warmup, "warmup", 0, "`epochs` of linear warm-up; default: a tenth of the steps, at most 10 epochs, but at least 200 steps (400 with --init) or half the run, whichever is less")
	fs.Float64Var(&s.weightDecay, "weight-decay", 0, "weight decay `factor`; the default depends on the optimizer")
	fs.Float64Var(&s.clipNorm, "clip-norm", 0, "clip the global gradient norm to this `value`, before weight decay; 0 disables clipping")
}

// resolve checks the flags and fills in the defaults that do not depend on the data; optimizer and
// schedule depend on the number of images and are set by plan.
func (s *settings) resolve(given func(flag string) bool) error {
	if s.Stem == "" {
		s.Stem = "imagenet"
		if s.Size <= smallImage {
			s.Stem = "cifar"
		}
	}
	if _, err := models.NewResNet(s.Model, s.Stem, s.Width); err != nil {
		return &usage.Error{Err: err}
	}
	if s.expander == "" {
		s.expander = map[string]string{"cifar": "2048-2048-2048"}[s.Stem]
		if s.expander == "" {
			s.expander = "8192-8192-8192"
		}
	}
	var err error
	if s.Expander, err = parseWidths(s.expander); err != nil {
		return err
	}
	if s.Recipe, err = s.recipe.recipe(s.Stem); err != nil {
		return err
	}
	if s.optimizer != "" {
		if _, err := optim.Default(s.optimizer); err != nil {
			return &usage.Error{Err: err}
		}
	}
	s.Optimizer, s.HoldoutLeast = optim.Config{Name: s.optimizer, WeightDecay: s.weightDecay, ClipNorm: s.clipNorm}, leastHeld
	s.decayGiven, s.warmupGiven = given("weight-decay"), given("warmup")
	switch {
	case given("lr") && !(s.lr > 0 && s.lr <= maxRate):
		return usage.Errorf("--lr %g: want a rate above 0 and at most %g", s.lr, maxRate)
	case !(s.warmup >= 0 && s.warmup <= math.MaxInt32):
		return usage.Errorf("--warmup %g: want 0 or more epochs", s.warmup)
	case s.warmupGiven && s.warmup > float64(s.Epochs):
		return usage.Errorf("--warmup %g: with --epochs %d the run would end before it reaches its peak learning rate", s.warmup, s.Epochs)
	}
	return s.Validate()
}

// Validate reports the first invalid setting.
func (c *Config) Validate() error {
	if _, err := models.NewResNet(c.Model, c.Stem, c.Width); err != nil {
		return &usage.Error{Err: err}
	}
	switch {
	case c.Batch < leastBatch:
		return usage.Errorf("--batch %d: VICReg compares the images of a batch and needs at least %d", c.Batch, leastBatch)
	case c.Epochs < 1 || c.Epochs > maxEpochs:
		return usage.Errorf("--epochs %d: want 1 to %d", c.Epochs, maxEpochs)
	case c.Width > maxWidth:
		return usage.Errorf("--width %d: want at most %d channels", c.Width, maxWidth)
	case len(c.Expander) == 0 || slices.Max(c.Expander) > maxExpander:
		return usage.Errorf("--expander %s: want widths up to %d", c.expanderString(), maxExpander)
	case c.Size < 8 || c.Size > 1024:
		return usage.Errorf("--image-size %d: want 8 to 1024 pixels", c.Size)
	case !(c.Holdout >= 0 && c.Holdout <= 0.9): // also catches NaN
		return usage.Errorf("--holdout %g: want a fraction from 0 to 0.9", c.Holdout)
	case !(c.Optimizer.WeightDecay >= 0 && c.Optimizer.WeightDecay <= 1):
		return usage.Errorf("--weight-decay %g: want a factor from 0 to 1", c.Optimizer.WeightDecay)
	case c.Optimizer.ClipNorm != 0 && !(c.Optimizer.ClipNorm >= minClip && c.Optimizer.ClipNorm <= maxClip):
		return usage.Errorf("--clip-norm %g: want 0, or a norm from %g to %g", c.Optimizer.ClipNorm, minClip, maxClip)
	}
	if err := c.Files.Validate(); err != nil {
		return err
	}
	for name, x := range map[string]float64{"invariance": c.Loss.Invariance, "variance": c.Loss.Variance, "covariance": c.Loss.Covariance} {
		if !(x >= 0 && x <= maxCoefficient) {
			return usage.Errorf("--%s %g: want a coefficient from 0 to %g", name, x, maxCoefficient)
		}
	}
	if c.Loss == (models.Loss{}) {
		return usage.Errorf("--invariance 0 --variance 0 --covariance 0: the loss would always be 0, and nothing would be learnt")
	}
	return nil
}

// leastBatch is the minimum of images in a batch.
const leastBatch = 2

// leastHeld is the minimum of held-out images: with fewer there is nothing to tell apart.
const leastHeld = 2

// split divides the images into training and held-out ones, and returns the fraction held out. If
// Holdout selects fewer than HoldoutLeast images, the next ones in hash order are held out too, as
// long as enough for a batch remain. In a run resumed with other images, this never reaches into
// what may have been trained on, even if too few are held out.
func (c *Config) split(all *dataset.Set) (train, held *dataset.Set, below float64) {
	below = c.Holdout
	train, held = all.Split(below)
	if below > 0 && held.Len() < c.HoldoutLeast && c.spares(all.Len()) {
		below = all.ShareOf(c.HoldoutLeast)
		if c.HoldoutBelow > 0 {
			below = min(below, c.HoldoutBelow)
		}
		train, held = all.Split(below)
	}
	return train, held, below
}

// spares reports whether that many images are enough for a batch plus HoldoutLeast.
func (c *Config) spares(images int) bool { return images-c.HoldoutLeast >= c.Batch }

// plan sets the optimizer and the learning-rate schedule for a number of training images.
func (s *settings) plan(images int) (chosen choice, err error) {
	perEpoch := images / s.Batch
	task := optim.Task{Small: s.Stem == "cifar", Width: s.Width, Expander: slices.Max(s.Expander),
		Batch: s.Batch, PerEpoch: perEpoch, Epochs: s.Epochs, Tuned: s.Init != ""}
	name := s.optimizer
	if name == "" {
		name, chosen.optimizer = task.Optimizer()
	}
	if s.Optimizer, err = task.Constants(name); err != nil {
		return chosen, &usage.Error{Err: err}
	}
	if s.decayGiven {
		s.Optimizer.WeightDecay = s.weightDecay
	}
	s.Optimizer.ClipNorm = s.clipNorm
	s.Schedule = optim.Schedule{Warmup: task.Warmup(), Total: perEpoch * s.Epochs, Peak: s.lr}
	if s.warmupGiven {
		s.Schedule.Warmup = min(s.Schedule.Total, int(s.warmup*float64(perEpoch)))
	}
	chosen.rate = "given"
	if s.lr == 0 {
		s.Schedule.Peak, chosen.rate = task.Rate(name)
	}
	return chosen, nil
}

// choice explains why a run has its optimizer and its learning rate.
type choice struct{ optimizer, rate string }

// describe formats the optimizer with all its constants, and the schedule.
func (c choice) describe(o optim.Config, s optim.Schedule) string {
	text := o.String()
	if c.optimizer != "" {
		text = strings.Replace(text, o.Name, o.Name+" ("+c.optimizer+")", 1)
	}
	return fmt.Sprintf("%s, peak lr %.4g (%s), warm-up for %d of %d steps", text, s.Peak, c.rate, s.Warmup, s.Total)
}

// graphs describes the run's graphs for a channel block size of the CPU kernels, 0 for the portable
// graph.
func (c *Config) graphs(block int) models.Config {
	backbone, _ := models.NewResNet(c.Model, c.Stem, c.Width) // checked by Validate
	m := models.Config{
		Backbone: backbone, Expander: models.Expander{Widths: c.Expander, Activation: "relu"},
		Loss: c.Loss, Optimizer: c.Optimizer, Batch: c.Batch, Size: c.Size, Block: block,
	}
	for i := range 3 {
		m.Mean[i], m.Std[i] = float64(c.Recipe.Mean[i]), float64(c.Recipe.Std[i])
	}
	return m
}

// Preprocess returns the fixed transformation from an image to this run's input: above 64 pixels
// the short side is resized to 256/224 of the crop, as usual for ImageNet; smaller models see the
// whole short side.
func (c *Config) Preprocess() imaging.Preprocess {
	p := imaging.Preprocess{Crop: c.Size, Interpolation: c.Recipe.Interpolation, Conversion: c.Conversion}
	if c.Size > smallImage {
		p.Resize = (c.Size*256 + 112) / 224
	}
	return p
}

func parseWidths(s string) ([]int, error) {
	var widths []int
	for part := range strings.SplitSeq(s, "-") {
		w, err := strconv.Atoi(part)
		if err != nil || w < 1 {
			return nil, usage.Errorf("--expander %s: want widths like 2048-2048-2048", s)
		}
		widths = append(widths, w)
	}
	return widths, nil
}

func (c *Config) expanderString() string {
	parts := make([]string, len(c.Expander))
	for i, w := range c.Expander {
		parts[i] = strconv.Itoa(w)
	}
	return strings.Join(parts, "-")
}

// String describes the model on one line.
func (c *Config) String() string {
	return fmt.Sprintf("%s, %s stem, width %d, %d pixels, expander %s", c.Model, c.Stem, c.Width, c.Size, c.expanderString())
}
