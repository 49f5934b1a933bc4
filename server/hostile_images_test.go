package server

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"vicreg/pipeline/imaging"
	"vicreg/server/servertest"
)

// sample reads one of the decoders' test pictures.
func sample(t testing.TB, name string) []byte {
	t.Helper()
	file, err := os.ReadFile(filepath.Join("../pipeline/imaging/testdata/decode", name))
	if err != nil {
		t.Fatal(err)
	}
	return file
}

// vector is the answer of /embed for a valid picture.
func vector(t *testing.T, s *Server, file []byte) []float32 {
	t.Helper()
	w := ask(s, "POST", "/embed", file, "Content-Type", "application/octet-stream", "Accept", "application/octet-stream")
	if w.Code != 200 {
		t.Fatalf("%d %s", w.Code, w.Body)
	}
	return floats(w.Body.Bytes())
}

// Files that claim to have many pixels are rejected by their headers, before any memory is
// allocated for them.
func TestPixelBombs(t *testing.T) {
	s := start(t, nil) // with the default limits
	probe := newProbe(t, s)
	jpeg, gif := sample(t, "s420.jpg"), sample(t, "whole.gif")
	screen := with(gif, 6, "\x50\xc3\x50\xc3") // 50,000 by 50,000
	for name, file := range map[string][]byte{
		"PNG":               pngFile(50_000, 50_000, 1, 0, chunk("IDAT", zeros(t, 30))),
		"PNG of one row":    pngFile(1<<31-1, 1, 16, 6, chunk("IDAT", zeros(t, 2))),
		"GIF":               with(screen, bytes.IndexByte(gif[13:], ',')+13+5, "\x50\xc3\x50\xc3"),
		"GIF's screen":      screen,
		"JPEG":              with(jpeg, bytes.Index(jpeg, []byte("\xff\xc0"))+5, "\xff\xdc\xff\xdc"),
		"WebP, lossless":    []byte("RIFF\x12\x00\x00\x00WEBPVP8L\x05\x00\x00\x00\x2f\xff\xff\xff\x0f\x00"),
		"WebP, lossy":       []byte("RIFF\x16\x00\x00\x00WEBPVP8 \x0a\x00\x00\x00\x10\x00\x00\x9d\x01\x2a\xff\x3f\xff\x3f"),
		"WebP's canvas":     with(sample(t, "animated-part-lossless.webp"), 24, "\xff\xff\xff\xff\xff\xff"),
		"JPEG turned":       with(sample(t, "turned6.jpg"), bytes.Index(sample(t, "turned6.jpg"), []byte("\xff\xc0"))+5, "\xff\xdc\xff\xdc"),
		"GIF of no pixels":  with(gif, 6, "\x00\x00\x00\x00"),
		"JPEG of no pixels": with(jpeg, bytes.Index(jpeg, []byte("\xff\xc0"))+5, "\x00\x00"),
	} {
		want := "over the limit"
		if strings.HasSuffix(name, "no pixels") {
			want = "is empty"
		}
		code, body := 0, ""
		took := servertest.Allocated(func() {
			w := ask(s, "POST", "/embed", file, "Content-Type", "image/png")
			code, body = w.Code, w.Body.String()
		})
		if code != 422 || !strings.Contains(body, want) || took > 1<<20 {
			t.Errorf("%s of %d bytes: %d %s, %d bytes of memory", name, len(file), code, body, took)
		}
		probe.check(t, s, name)
	}
}

// Every supported kind of picture yields the vector of its pixels, whatever media type it is sent
// with: CMYK, progressive, 16 bits, grey, and animations by their first frame.
func TestEveryKindOfPicture(t *testing.T) {
	s := small(t, nil)
	names, err := filepath.Glob("../pipeline/imaging/testdata/decode/*")
	if err != nil {
		t.Fatal(err)
	}
	taken := map[string]int{}
	for _, name := range names {
		kind := filepath.Ext(name)
		if kind == ".json" || kind == ".gz" {
			continue
		}
		file := sample(t, filepath.Base(name))
		m, err := imaging.Decode(file, imaging.Limits{})
		if err != nil { // TIFF, and features that only one of the JPEG decoders supports
			w := ask(s, "POST", "/embed", file, "Content-Type", "image/tiff")
			if w.Code != 422 || kind == ".tif" && !strings.Contains(w.Body.String(), "the server does not accept TIFF, unlike other commands: send JPEG, PNG, WebP or GIF") {
				t.Errorf("%s: %d %s", name, w.Code, w.Body)
			}
			taken["refused "+kind]++
			continue
		}
		want := vector(t, s, pngOf(t, m.W, m.H, func(x, y int) []uint8 { return m.Pix[3*(y*m.W+x):] }))
		w := ask(s, "POST", "/embed", file, "Content-Type", "image/x-something-else", "Accept", "application/octet-stream")
		if w.Code != 200 || !close32(floats(w.Body.Bytes()), want, 1e-6) {
			t.Errorf("%s: %d, or other numbers", name, w.Code)
		}
		taken[kind]++
	}
	if taken[".jpg"] < 60 || taken[".png"] < 20 || taken[".webp"] < 10 || taken[".gif"] < 8 || taken[".tif"] != 0 || taken["refused .tif"] < 10 || taken["refused .jpg"] > 1 {
		t.Errorf("taken: %v", taken)
	}
}

// A photograph whose Exif orientation says that it lies on its side has the vector of the upright
// one, not of its stored pixels.
func TestTurnedPhotograph(t *testing.T) {
	s := small(t, nil)
	turned := sample(t, "turned6.jpg") // must be rotated clockwise
	flat := bytes.Replace(turned, []byte("Exif"), []byte("none"), 1)
	m, err := imaging.Decode(flat, imaging.Limits{})
	if err != nil {
		t.Fatal(err)
	}
	upright := pngOf(t, m.H, m.W, func(x, y int) []uint8 { return m.Pix[3*((m.H-1-x)*m.W+y):] })
	got := vector(t, s, turned)
	if !close32(got, vector(t, s, upright), 1e-6) || close32(got, vector(t, s, flat), 1e-3) {
		t.Error("the orientation is not applied")
	}
}

// Pixels whose index is outside the palette.
func TestColoursThatAreNotThere(t *testing.T) {
	s := small(t, nil)
	probe := newProbe(t, s)
	black := pngOf(t, 4, 4, func(x, y int) []uint8 { return []uint8{0, 0, 0} })
	palette := chunk("PLTE", []byte{255, 0, 0, 0, 0, 255})
	far := pngFile(4, 4, 8, 3, palette, chunk("IDAT", deflated(t, bytes.Repeat([]byte("\x00\xc8\xc8\xc8\xc8"), 4))))
	if got := vector(t, s, far); !close32(got, vector(t, s, black), 1e-6) {
		t.Error("PNG: the colour is not black")
	}
	none := pngFile(4, 4, 8, 3, chunk("IDAT", deflated(t, bytes.Repeat([]byte("\x00\xc8\xc8\xc8\xc8"), 4))))
	if w := ask(s, "POST", "/embed", gifOf(t, 1, 0), "Content-Type", "image/gif"); w.Code != 200 {
		t.Fatalf("a GIF of its two colours: %d %s", w.Code, w.Body)
	}
	for want, file := range map[string][]byte{"out of order": none, "invalid pixel value": gifOf(t, 1, 200)} {
		if w := ask(s, "POST", "/embed", file, "Content-Type", "image/png"); w.Code != 422 || !strings.Contains(w.Body.String(), want) {
			t.Errorf("%d %s, want %q", w.Code, w.Body, want)
		}
		probe.check(t, s, want)
	}
}

// Files of other types, sent as images.
func TestOtherFiles(t *testing.T) {
	s := small(t, nil)
	probe := newProbe(t, s)
	for name, file := range map[string]string{
		"nothing": "", "one byte": "\xff", "BMP": "BM\x46\x00\x00\x00\x00\x00\x00\x00\x36\x00\x00\x00\x28\x00\x00\x00" + strings.Repeat("\x00", 60),
		"SVG": `<svg xmlns="http://www.w3.org/2000/svg"><image href="file:///etc/passwd"/></svg>`, "HTML": "<!DOCTYPE html><script>x</script>",
		"ZIP": "PK\x03\x04" + strings.Repeat("\x00", 60), "PDF": "%PDF-1.7\n%\xe2\xe3\xcf\xd3\n", "AVIF": "\x00\x00\x00\x20ftypavif" + strings.Repeat("\x00", 20),
		"ICO": "\x00\x00\x01\x00\x01\x00\x01\x01", "a header of a PNG alone": "\x89PNG\r\n\x1a\n", "a header of a WebP alone": "RIFF\x04\x00\x00\x00WEBP",
		"big TIFF": "II+\x00\x08\x00\x00\x00", "a script": "#!/bin/sh\n",
	} {
		for _, kind := range []string{"image/jpeg", "image/svg+xml", "application/octet-stream"} {
			w := ask(s, "POST", "/embed", []byte(file), "Content-Type", kind)
			if documented(t, w, "POST", "/embed"); w.Code != 422 {
				t.Errorf("%s as %s: %d %s", name, kind, w.Code, w.Body)
			}
		}
		probe.check(t, s, name)
	}
}

// Files of every kind, truncated at many places and with bits flipped at many, either yield a
// vector or are rejected one by one.
func TestDamagedFiles(t *testing.T) {
	const most = 48
	s := small(t, func(c *Config) { c.MaxItems, c.MaxBody = most, 4<<20 })
	probe := newProbe(t, s)
	count := map[string]int{}
	for _, name := range []string{"s420.jpg", "s444-progressive.jpg", "restart-progressive444.jpg", "ycck420.jpg", "turned6.jpg", "rgb.png", "rgb-interlaced.png", "palette13.png",
		"rgba16.png", "interlaced.gif", "animated.gif", "lossy.webp", "lossless-palette.webp", "lossy-alpha.webp", "animated-part-lossy.webp"} {
		good := sample(t, name)
		var files [][]byte
		for i := range most / 3 {
			files = append(files, good[:len(good)*i*3/most])
		}
		for i := len(files); i < most; i++ {
			bit := i * 7919 % (8 * len(good))
			file := append([]byte(nil), good...)
			file[bit/8] ^= 1 << (bit % 8)
			files = append(files, file)
		}
		list := make([]string, len(files))
		for i, f := range files {
			list[i] = base64.StdEncoding.EncodeToString(f)
		}
		body, err := json.Marshal(map[string]any{"inputs": list})
		if err != nil {
			t.Fatal(err)
		}
		for i, d := range parse(t, ask(s, "POST", "/embed", body, "Content-Type", "application/json")).Data {
			switch {
			case d.Error == nil:
				count["taken"]++
			case d.Error.Status == 422:
				count["refused"]++
			default:
				t.Errorf("%s, %d: %+v", name, i, d.Error)
			}
		}
		probe.check(t, s, name)
	}
	if count["taken"] < 50 || count["refused"] < 250 {
		t.Error(fmt.Sprint(count))
	}
}
