package request

import (
	"bytes"
	"encoding/base64"
	"strings"
	"testing"

	"vicreg/server/problem"
	"vicreg/server/servertest"
)

// FuzzText tests the parser of an image in JSON.
func FuzzText(f *testing.F) {
	for _, text := range []string{"aGVsbG8=", "aGVs\nbG8=\r\n", "data:image/png;base64,aGVsbG8=", "data:;base64,", "data:,x", "http://x", "data:;base64,https://x", "====", "", "\xff"} {
		f.Add(text)
	}
	f.Fuzz(func(t *testing.T, text string) {
		var got Image
		if n := servertest.Allocated(func() { got = FromText(text) }); n > 16<<10+4*len(text) {
			t.Errorf("%d bytes are allocated for a text of %d", n, len(text))
		}
		if got.Err != nil {
			if got.Err.Code != problem.BadImage || got.File != nil || len(got.Err.Detail) > 1000 {
				t.Errorf("%+v", got)
			}
			return
		}
		payload := text
		if strings.HasPrefix(text, "data:") {
			_, payload, _ = strings.Cut(text, ";base64,")
		}
		payload = strings.NewReplacer("\r", "", "\n", "").Replace(payload)
		again := base64.StdEncoding.EncodeToString(got.File)
		end := max(0, len(payload)-4) // unused bits after the last byte may be set
		if len(again) != len(payload) || again[:end] != payload[:end] {
			t.Errorf("%q became %q", payload, again)
		}
		if uri := FromText("data:x;base64," + payload); uri.Err != nil || !bytes.Equal(uri.File, got.File) {
			t.Errorf("as a data URI %+v, else %+v", uri, got)
		}
	})
}
