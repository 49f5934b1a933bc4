package usage

import (
	"flag"
	"fmt"
	"io"
	"strings"
)

const width = 80

// Text is a command's help apart from its flags.
type Text struct {
	Name     string // "train"
	Purpose  string // one sentence
	Synopsis string // what follows the command's name: "--data DIR --out RUN [flags]"
	Examples []string
	Notes    string // optional; paragraphs separated by blank lines; indented lines are printed verbatim
}

// Flags returns a flag set whose help consists of t and an entry per flag with its unit (the
// `quoted` word of the flag's usage text) and its default. The help is written to out.
func Flags(out io.Writer, t Text) *flag.FlagSet {
	fs := flag.NewFlagSet(t.Name, flag.ContinueOnError)
	fs.SetOutput(out)
	fs.Usage = func() { io.WriteString(fs.Output(), help(fs, t)) }
	return fs
}

func help(fs *flag.FlagSet, t Text) string {
	var b strings.Builder
	line := strings.TrimSpace("vicreg " + t.Name + " " + t.Synopsis)
	fmt.Fprintf(&b, "%s\n\nUsage:\n  %s\n", strings.Join(wrap(t.Purpose, width), "\n"), line)
	if len(t.Examples) > 0 {
		fmt.Fprintf(&b, "\nFor example:\n  %s\n", strings.Join(t.Examples, "\n  "))
	}
	first := true
	fs.VisitAll(func(f *flag.Flag) {
		if first {
			b.WriteString("\nFlags:\n")
		}
		first = false
		entry(&b, f)
	})
	if t.Notes != "" {
		fmt.Fprintf(&b, "\n%s\n", strings.Join(flow(t.Notes), "\n"))
	}
	return b.String()
}

// entry prints one flag: its name and unit, then the indented text.
func entry(b *strings.Builder, f *flag.Flag) {
	const indent = 6
	value, text := flag.UnquoteUsage(f)
	if value != "" {
		value = " " + value
	}
	switch f.DefValue {
	case "", "0", "0s", "false": // a zero default means off; where it does not, the text says so
	default:
		text += " (default " + f.DefValue + ")"
	}
	fmt.Fprintf(b, "  %s%s\n", dashed(f.Name), value)
	for _, l := range wrap(text, width-indent) {
		fmt.Fprintf(b, "%s%s\n", strings.Repeat(" ", indent), l)
	}
}

// dashed writes a flag the way users type it: one dash for a single letter, otherwise two.
func dashed(name string) string {
	if len(name) == 1 {
		return "-" + name
	}
	return "--" + name
}

// flow breaks paragraphs into lines and keeps indented lines as they are.
func flow(text string) (lines []string) {
	var run []string
	end := func() {
		if len(run) > 0 {
			lines, run = append(lines, wrap(strings.Join(run, " "), width)...), nil
		}
	}
	for line := range strings.Lines(strings.Trim(text, "\n")) {
		line = strings.TrimRight(line, " \n")
		if line != "" && line[0] != ' ' {
			run = append(run, line)
			continue
		}
		end()
		lines = append(lines, line)
	}
	end()
	return lines
}

// wrap breaks text at spaces into lines of at most n bytes, except for words longer than that.
func wrap(text string, n int) []string {
	var lines []string
	line := ""
	for _, word := range strings.Fields(text) {
		if line != "" && len(line)+1+len(word) > n {
			lines, line = append(lines, line), ""
		}
		if line != "" {
			line += " "
		}
		line += word
	}
	return append(lines, line)
}

// Closest returns the candidate that a mistyped word most likely meant: at most two edits away, and
// fewer than half the word's length. It returns "" if there is none.
func Closest(word string, candidates []string) string {
	best, near := 3, ""
	for _, c := range candidates {
		if d := Distance(word, c); d < best && 2*d < len(word) {
			best, near = d, c
		}
	}
	return near
}

// Distance is the Levenshtein distance in bytes.
func Distance(a, b string) int {
	row := make([]int, len(b)+1)
	for j := range row {
		row[j] = j
	}
	for i := range len(a) {
		diagonal := row[0]
		row[0] = i + 1
		for j := range len(b) {
			cost := diagonal
			if a[i] != b[j] {
				cost++
			}
			diagonal = row[j+1]
			row[j+1] = min(cost, row[j]+1, diagonal+1)
		}
	}
	return row[len(b)]
}
