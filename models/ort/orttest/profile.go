package orttest

import (
	"encoding/json"
	"os"
	"path/filepath"
	"testing"
)

// Event is one entry of a profile, as far as tests need it.
type Event struct {
	Name string
	Args struct {
		Op     string             `json:"op_name"`          // of a node that ran
		Inputs []map[string][]int `json:"input_type_shape"` // per input, its shape by its type
	}
}

// Profile reads the profile of the only session whose options had the prefix, once it is closed.
func Profile(tb testing.TB, prefix string) (events []Event) {
	tb.Helper()
	files, err := filepath.Glob(prefix + "*.json")
	if err != nil || len(files) != 1 {
		tb.Fatalf("profiles %v, %v", files, err)
	}
	b, err := os.ReadFile(files[0])
	if err != nil {
		tb.Fatal(err)
	}
	if err := json.Unmarshal(b, &events); err != nil {
		tb.Fatal(err)
	}
	return events
}
