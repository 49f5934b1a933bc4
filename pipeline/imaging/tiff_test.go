package imaging

import "testing"

// Size of the pictures in testdata/tiff, which scripts/golden/tiffs.py makes; its value
// and black are those here.
const tiffW, tiffH = 37, 23

func tiffValue(x, y, c int) uint8 { return uint8(7*x + 13*y + x*y + 50*c) }

func tiffBlack(x, y, _ int) uint8 {
	if (x*x+3*y)%7 < 3 {
		return 0
	}
	return 255
}

// drawn is a picture of what at gives for each channel.
func drawn(at func(x, y, c int) uint8) []uint8 {
	pix := make([]uint8, 0, 3*tiffW*tiffH)
	for y := range tiffH {
		for x := range tiffW {
			pix = append(pix, at(x, y, 0), at(x, y, 1), at(x, y, 2))
		}
	}
	return pix
}

// Where 0 is black, a fax's white is black: libtiff's reading, and that of the same
// bits without compression.
func TestFaxes(t *testing.T) {
	for _, name := range []string{"tiff/fax-group3.tif", "tiff/fax-group4.tif"} {
		file := readFile(t, name) // in which 0 is black
		m, err := Decode(file, Limits{TIFF: true})
		if err != nil {
			t.Fatal(err)
		}
		differ(t, name, m.Pix, drawn(tiffBlack), 0, 0)
		if m, err = Decode(photometric(t, file, whiteIsZero), Limits{TIFF: true}); err != nil {
			t.Fatal(err)
		}
		differ(t, name+" where 0 is white", m.Pix, drawn(func(x, y, c int) uint8 { return 255 - tiffBlack(x, y, c) }), 0, 0)
	}
}
