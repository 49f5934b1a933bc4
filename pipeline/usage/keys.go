package usage

import (
	"os"
	"strings"
)

// Keys reads the API keys from the file given with --api-key-file, one per line, skipping blank
// lines and lines that start with #. It fails if there is no key or if a key contains a space or
// tab.
func Keys(file string) (keys []string, err error) {
	text, err := os.ReadFile(file)
	if err != nil {
		return nil, Errorf("--api-key-file: %w", err)
	}
	for line := range strings.Lines(string(text)) {
		switch line = strings.TrimSpace(line); {
		case line == "" || line[0] == '#':
		case strings.ContainsAny(line, " \t"):
			return nil, Errorf("--api-key-file %s: a key contains a space", file)
		default:
			keys = append(keys, line)
		}
	}
	if len(keys) == 0 {
		return nil, Errorf("--api-key-file %s: it contains no key", file)
	}
	return keys, nil
}
