package request

import (
	"encoding/json"
	"strings"
	"testing"
)

type around struct {
	Inner
	Normalize bool `json:"normalize"`
}

// Inner is embedded in around.
type Inner struct {
	Format string `json:"encoding_format"`
}

// The error of an unknown field suggests the field that was probably meant, if any is close.
func TestUnknownFields(t *testing.T) {
	for body, want := range map[string]string{
		`{"normalise": true}`:                    `unknown field "normalise"; did you mean normalize?`,
		`{"encodingformat": "x"}`:                `unknown field "encodingformat"; did you mean encoding_format?`,
		`{"other": 1}`:                           `unknown field "other"`,
		`{"` + strings.Repeat("n", 70) + `": 1}`: `unknown field "` + strings.Repeat("n", 70) + `"`,
	} {
		d := json.NewDecoder(strings.NewReader(body))
		d.DisallowUnknownFields()
		err := DecodeOne(d, &around{})
		if err == nil || !strings.HasSuffix(err.Error(), "cannot read the JSON: "+want) {
			t.Errorf("%s: %v, want %s", body, err, want)
		}
	}
}

func TestNoFile(t *testing.T) {
	if got := NoFile("kk", "k").Error(); !strings.HasSuffix(got, `part "kk" is neither a file nor a known field: want one of k`) {
		t.Error(got)
	}
	if got := NoFile("normalise", "normalize").Error(); !strings.HasSuffix(got, "did you mean normalize?") {
		t.Error(got)
	}
}
