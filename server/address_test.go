package server

import (
	"errors"
	"io"
	"testing"

	"vicreg/pipeline/usage"
)

// An address that cannot be listened on is refused before the model is loaded.
func TestAddressesAreChecked(t *testing.T) {
	for args, want := range map[string]string{
		"--addr=localhost:8080":      "",
		"--addr=:8080":               "",
		"--addr=[::1]:http":          "",
		"--addr=8080":                "--addr 8080: want HOST:PORT, such as localhost:8080, or :8080 for all interfaces",
		"--addr=localhost":           "--addr localhost: want HOST:PORT, such as localhost:8080",
		"--addr=::1":                 "--addr ::1: want HOST:PORT, such as localhost:8080",
		"--addr=":                    "--addr \"\": want HOST:PORT, such as localhost:8080",
		"--metrics-addr=9090":        "--metrics-addr 9090: want HOST:PORT, such as localhost:9090, or :9090 for all interfaces",
		"--metrics-addr=:9090":       "",
		"--pprof-addr=6060":          "--pprof-addr 6060: want HOST:PORT, such as localhost:6060",
		"--pprof-addr=localhost:606": "",
	} {
		f, fs := newServeFlags(io.Discard)
		if err := fs.Parse([]string{args}); err != nil {
			t.Fatal(err)
		}
		f.suit(func(string) bool { return false })
		err, got := f.validate(), ""
		if err != nil {
			got = err.Error()
		}
		var wrong *usage.Error
		if got != want || errors.As(err, &wrong) != (want != "") {
			t.Errorf("%s: got %v, want %q", args, err, want)
		}
	}
}
