package usage

import (
	"errors"
	"flag"
	"fmt"
	"strings"
	"time"
)

// wrongValue rewrites the flag package's message about a bad value: if the value cannot be parsed,
// it says what is expected instead.
func wrongValue(fs *flag.FlagSet, text string) error {
	before := " for flag -"
	if strings.HasPrefix(text, "invalid boolean") {
		before = " for -"
	}
	head, tail, found := cutLast(text, before) // the last one: the value comes before it and may contain the same text
	name, why, named := strings.Cut(tail, ": ")
	f := fs.Lookup(name)
	if !found || !named || f == nil {
		return errors.New(text)
	}
	if want := wanted(f.Value); why == "parse error" && want != "" {
		why = "want " + want
	}
	return fmt.Errorf("%s for %s: %s", head, dashed(name), why)
}

func cutLast(s, sep string) (before, after string, found bool) {
	if i := strings.LastIndex(s, sep); i >= 0 {
		return s[:i], s[i+len(sep):], true
	}
	return s, "", false
}

// wanted describes the values of a flag of one of the flag package's types; "" for other types.
func wanted(v flag.Value) string {
	g, ok := v.(flag.Getter)
	if !ok {
		return ""
	}
	switch g.Get().(type) {
	case bool:
		return "true or false"
	case int, int64:
		return "a whole number"
	case uint, uint64:
		return "a whole number, 0 or more"
	case float64:
		return "a number, such as 0.5 or 1e-3"
	case time.Duration:
		return "a duration with a unit, such as 90s, 30m or 2h"
	}
	return ""
}
