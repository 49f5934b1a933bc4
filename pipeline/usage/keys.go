package usage

import (
	"os"
	"strings"
)

// Keys are the API keys in the file of --api-key-file, one a line, in which nothing is what
// begins with # or is empty. There is at least one, and none has a space in it.
func Keys(file string) (keys []string, err error) {
	text, err := os.ReadFile(file)
	if err != nil {
		return nil, Errorf("--api-key-file: %w", err)
	}
	for line := range strings.Lines(string(text)) {
		switch line = strings.TrimSpace(line); {
		case line == "" || line[0] == '#':
		case strings.ContainsAny(line, " \t"):
			return nil, Errorf("--api-key-file %s: a key has a space in it", file)
		default:
			keys = append(keys, line)
		}
	}
	if len(keys) == 0 {
		return nil, Errorf("--api-key-file %s: there is no key in it", file)
	}
	return keys, nil
}
