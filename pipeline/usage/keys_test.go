package usage

import (
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

func TestKeys(t *testing.T) {
	file := filepath.Join(t.TempDir(), "keys")
	for text, want := range map[string]string{
		"# mine\n\n  abc \r\n#def\nghi": "abc,ghi",
		"abc def\n":                     "a key contains a space",
		"abc\nd\tef\n":                  "a key contains a space",
		"# abc\n":                       "it contains no key",
		"":                              "it contains no key",
	} {
		if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		keys, err := Keys(file)
		var wrong *Error
		if err == nil && !slices.Equal(keys, strings.Split(want, ",")) || err != nil && (!errors.As(err, &wrong) || err.Error() != "--api-key-file "+file+": "+want) {
			t.Errorf("%q: %q, %v, want %s", text, keys, err, want)
		}
	}
	if _, err := Keys(file + "none"); !errors.Is(err, os.ErrNotExist) || !strings.HasPrefix(err.Error(), "--api-key-file: ") {
		t.Error(err)
	}
}
