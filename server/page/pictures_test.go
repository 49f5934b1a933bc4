package page

import (
	"bytes"
	"fmt"
	"image"
	"image/color"
	"image/jpeg"
	"math"
	"math/rand/v2"
	"slices"
	"sync"
	"testing"
)

// scene is a kind of landscape, characterised by its colours.
type scene struct {
	name              string
	sky, glow, ground color.RGBA
}

var scenes = []scene{
	{"sea", color.RGBA{96, 158, 214, 255}, color.RGBA{222, 236, 244, 255}, color.RGBA{24, 78, 122, 255}},
	{"forest", color.RGBA{176, 206, 198, 255}, color.RGBA{232, 238, 220, 255}, color.RGBA{38, 84, 48, 255}},
	{"desert", color.RGBA{118, 176, 210, 255}, color.RGBA{246, 226, 184, 255}, color.RGBA{206, 142, 74, 255}},
	{"dusk", color.RGBA{52, 38, 86, 255}, color.RGBA{240, 122, 84, 255}, color.RGBA{30, 22, 40, 255}},
	{"snow", color.RGBA{150, 170, 196, 255}, color.RGBA{236, 240, 246, 255}, color.RGBA{214, 222, 232, 255}},
}

// paint makes the nth picture of a scene, [height, width] pixels: a sky, a sun and hills.
func (s scene) paint(n, width, height int) image.Image {
	r := rand.New(rand.NewPCG(uint64(n), uint64(s.sky.R)))
	img := image.NewRGBA(image.Rect(0, 0, width, height))
	sun := [3]float64{.2 + .6*r.Float64(), .15 + .35*r.Float64(), .05 + .06*r.Float64()}
	var hills [3][3]float64
	for i := range hills {
		hills[i] = [3]float64{.5 + .15*float64(i) + .06*r.Float64(), 2 + 5*r.Float64(), 6 * r.Float64()}
	}
	for py := range height {
		for px := range width {
			x, y := float64(px)/float64(width), float64(py)/float64(height)
			c := mix(s.sky, s.glow, y*1.5)
			if math.Hypot((x-sun[0])*float64(width)/float64(height), y-sun[1]) < sun[2] {
				c = mix(s.glow, color.RGBA{255, 250, 232, 255}, .8)
			}
			for i, h := range hills {
				if y > h[0]+.06*math.Sin(h[1]*x+h[2]) {
					c = mix(s.glow, s.ground, .4+.3*float64(i))
				}
			}
			img.SetRGBA(px, py, c)
		}
	}
	return img
}

func mix(a, b color.RGBA, t float64) color.RGBA {
	t = min(max(t, 0), 1)
	at := func(a, b uint8) uint8 { return uint8(float64(a) + t*(float64(b)-float64(a))) }
	return color.RGBA{at(a.R, b.R), at(a.G, b.G), at(a.B, b.B), 255}
}

func encoded(t *testing.T, img image.Image) []byte {
	t.Helper()
	var b bytes.Buffer
	if err := jpeg.Encode(&b, img, &jpeg.Options{Quality: 90}); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

// histogram is the vector [64] of a picture: its colour histogram, 4 bins per channel, scaled to
// unit length.
func histogram(img image.Image) []float64 {
	v := make([]float64, 64)
	b := img.Bounds()
	for y := b.Min.Y; y < b.Max.Y; y++ {
		for x := b.Min.X; x < b.Max.X; x++ {
			r, g, bl, _ := img.At(x, y).RGBA()
			v[r>>14<<4|g>>14<<2|bl>>14]++
		}
	}
	var sum float64
	for _, x := range v {
		sum += x * x
	}
	for i := range v {
		v[i] /= math.Sqrt(sum)
	}
	return v
}

// gallery is twelve pictures of each scene, in several sizes as in a real index.
func gallery(t *testing.T) []item {
	t.Helper()
	painted.Do(func() { paintings = paintGallery(t) })
	return slices.Clone(paintings)
}

var (
	painted   sync.Once
	paintings []item
)

func paintGallery(t *testing.T) (all []item) {
	sizes := [][2]int{{192, 192}, {192, 128}, {32, 32}, {144, 192}}
	for n := range 12 {
		for i, s := range scenes {
			size := sizes[(n+i)%len(sizes)]
			img := s.paint(n, size[0], size[1])
			id := fmt.Sprintf("%s/%02d.jpg", s.name, n)
			all = append(all, item{ID: id, Source: "photos/" + id, Thumbnail: encoded(t, img), vector: histogram(img), SHA256: fmt.Sprintf("%064x", n*100+i),
				Metadata: map[string]any{"label": s.name, "year": float64(2015 + n), "camera": map[string]any{"make": []string{"Canon", "Leica"}[n%2]}}})
		}
	}
	return all
}

// oddities have names and metadata that are HTML if not escaped, or look like paths.
func oddities(t *testing.T) (all []item) {
	for n, id := range []string{`<img src=x onerror="document.title='broken'">`, "50% of a/b?c#d&e.jpg", "日本/été \"x\".jpg"} {
		img := scenes[n].paint(20, 32, 32)
		all = append(all, item{ID: id, Source: id, Thumbnail: encoded(t, img), vector: histogram(img), Metadata: map[string]any{"<b>field</b>": "<script>document.title='broken'</script>"}})
	}
	all[2].Thumbnail = nil
	return all
}
