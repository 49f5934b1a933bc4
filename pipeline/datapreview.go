package pipeline

import (
	"context"
	"fmt"
	"image"
	"image/color"
	"image/draw"
	"io"

	pictures "github.com/disintegration/imaging"
	"golang.org/x/image/font"
	"golang.org/x/image/font/basicfont"
	"golang.org/x/image/math/fixed"

	"vicreg/pipeline/bulk"
	"vicreg/pipeline/dataset"
	"vicreg/pipeline/encoder"
	"vicreg/pipeline/imaging"
	"vicreg/pipeline/usage"
	"vicreg/pipeline/whole"
)

// preview is one invocation of vicreg data preview.
type preview struct {
	data                []string
	out                 string
	force               bool
	size, images, draws int
	seed                uint64
	chosen              recipeFlags
	files               bulk.Files
	conversion          imaging.Conversion

	format  pictures.Format
	recipe  imaging.Recipe
	scratch imaging.Scratch
}

// Dimensions of the drawing, in pixels.
const (
	cell  = 128 // minimum side of a view as displayed
	gap   = 4
	title = 18

	largestSheet = 200_000_000
)

func dataPreview(ctx context.Context, args []string, stdout io.Writer) error {
	fs := usage.Flags(stdout, usage.Text{
		Name:     "data preview",
		Purpose:  "Draw images next to the random augmented views that training would see.",
		Synopsis: "DIR... -o FILE [flags]",
		Examples: []string{
			"vicreg data preview photos -o preview.png",
			"vicreg data preview scans -o preview.png --recipe mild --augment jitter=0",
		},
		Notes: `One row per image, chosen evenly: the original, then both views in the first epochs.
Training with the same --seed, --recipe, --augment, --image-size, --levels and
--background sees exactly these views.

` + recipeNotes(),
	})
	p := &preview{}
	fs.StringVar(&p.out, "o", "", "write to this `FILE`, as PNG or JPEG depending on its extension")
	fs.BoolVar(&p.force, "force", false, "overwrite FILE if it exists")
	fs.IntVar(&p.size, "image-size", 224, "width and height of a view in `pixels`")
	fs.IntVar(&p.images, "images", 8, "number `N` of images")
	fs.IntVar(&p.draws, "epochs", 2, "show the views of `N` epochs")
	fs.Uint64Var(&p.seed, "seed", 1, "random seed `N` of the views, as in training")
	p.files.Register(fs)
	encoder.ConversionFlags(fs, &p.conversion, "")
	p.chosen.register(fs)
	if err := usage.ParseAll(fs, args, "DIR", &p.data); err != nil {
		return err
	}
	if err := usage.Require(fs, "o"); err != nil {
		return err
	}
	if err := p.validate(); err != nil {
		return err
	}
	if err := checkOutput("-o", p.out, p.force, p.data...); err != nil {
		return err
	}
	set, err := dataset.OpenAll(ctx, p.data, dataset.Options{})
	if err != nil {
		return &usage.Error{Err: err}
	}
	if err := spareImages("-o", p.out, set); err != nil {
		return err
	}
	return p.draw(dataset.NewReader(set, dataset.ReaderConfig{Limits: p.files.Limits(), Conversion: p.conversion}), stdout)
}

func (p *preview) validate() (err error) {
	switch {
	case p.size < 8 || p.size > 1024:
		return usage.Errorf("--image-size %d: want 8 to 1024 pixels", p.size)
	case p.images < 1 || p.images > 100:
		return usage.Errorf("--images %d: want 1 to 100", p.images)
	case p.draws < 1 || p.draws > 20:
		return usage.Errorf("--epochs %d: want 1 to 20", p.draws)
	}
	if err := p.files.Validate(); err != nil {
		return err
	}
	if p.format, err = pictures.FormatFromFilename(p.out); err != nil || p.format != pictures.PNG && p.format != pictures.JPEG {
		return usage.Errorf("-o %s: want a name that ends in .png or .jpg", p.out)
	}
	if side := max(p.size, cell) + gap; (1+2*p.draws)*side*p.images*side > largestSheet {
		return usage.Errorf("--images %d --epochs %d --image-size %d: the drawing would have over %d million pixels", p.images, p.draws, p.size, largestSheet/1_000_000)
	}
	fallback := "imagenet"
	if p.size <= smallImage {
		fallback = "cifar"
	}
	p.recipe, err = p.chosen.recipe(fallback)
	return err
}

// draw writes the drawing and prints what its rows show.
func (p *preview) draw(reader *dataset.Reader, stdout io.Writer) error {
	n := reader.Set().Len()
	rows := min(p.images, n)
	side, columns := max(p.size, cell), 1+2*p.draws
	sheet := image.NewNRGBA(image.Rect(0, 0, gap+columns*(side+gap), title+rows*(side+gap)))
	draw.Draw(sheet, sheet.Bounds(), image.NewUniform(color.NRGBA{32, 32, 32, 255}), image.Point{}, draw.Src)
	for c := range columns {
		text := "image"
		if c > 0 {
			text = fmt.Sprintf("epoch %d, view %d", (c-1)/2+1, (c-1)%2+1)
		}
		write(sheet, gap+c*(side+gap), title-5, text)
	}
	for row := range rows {
		i := row * n / rows
		src, err := reader.Image(i)
		if err != nil {
			fmt.Fprintf(stdout, "row %d  %v\n", row+1, err)
			continue
		}
		fmt.Fprintf(stdout, "row %d  %s, %d x %d\n", row+1, usage.Printable(reader.Set().Key(i)), src.W, src.H)
		p.row(sheet, title+row*(side+gap), side, src, reader.Set().Key(i))
	}
	if err := whole.Write(p.out, func(w io.Writer) error { return pictures.Encode(w, sheet, p.format) }); err != nil {
		return err
	}
	fmt.Fprintf(stdout, "wrote %s: %s, views of %d pixels\n", p.out, describeViews(p.recipe, p.conversion), p.size)
	return nil
}

// row draws the image with this key, and its views, with y as the top.
func (p *preview) row(sheet *image.NRGBA, y, side int, src *imaging.RGB, key string) {
	put := func(column int, m image.Image) {
		x := gap + column*(side+gap) + (side-m.Bounds().Dx())/2
		at := image.Pt(x, y+(side-m.Bounds().Dy())/2)
		draw.Draw(sheet, m.Bounds().Sub(m.Bounds().Min).Add(at), m, m.Bounds().Min, draw.Src)
	}
	fit := func(m *image.NRGBA) image.Image {
		scale := min(float64(side)/float64(m.Rect.Dx()), float64(side)/float64(m.Rect.Dy()))
		filter := pictures.Lanczos
		if scale > 1 { // enlarged pixels should be visible as they are
			filter = pictures.NearestNeighbor
		}
		return pictures.Resize(m, max(1, int(scale*float64(m.Rect.Dx()))), max(1, int(scale*float64(m.Rect.Dy()))), filter)
	}
	put(0, fit(picture(src.Pix, src.W, src.H)))
	view := make([]uint8, 3*p.size*p.size)
	for column := range 2 * p.draws {
		imaging.Apply(p.recipe.Draw(p.seed, column/2, key, column%2), src, view, p.size, &p.scratch)
		put(1+column, fit(picture(view, p.size, p.size)))
	}
}

// picture copies RGB bytes into an image.NRGBA. The drawing library must get this type: it can
// panic on some others.
func picture(pix []uint8, w, h int) *image.NRGBA {
	m := image.NewNRGBA(image.Rect(0, 0, w, h))
	for i := range w * h {
		copy(m.Pix[4*i:], pix[3*i:3*i+3])
		m.Pix[4*i+3] = 255
	}
	return m
}

func write(m *image.NRGBA, x, y int, text string) {
	d := font.Drawer{Dst: m, Src: image.White, Face: basicfont.Face7x13, Dot: fixed.P(x, y)}
	d.DrawString(text)
}
