package usage

import "fmt"

// Count returns a number with its noun, which gets an s unless the number is 1.
func Count[N ~int | ~int64](n N, noun string) string {
	if n != 1 {
		noun += "s"
	}
	return fmt.Sprintf("%d %s", n, noun)
}
