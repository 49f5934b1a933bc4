// Package usage defines how commands talk to the user: help texts, and one clear line for wrong
// input. The flag package prints nothing itself; whoever calls the command prints the error and
// chooses the exit code.
package usage

import (
	"errors"
	"flag"
	"fmt"
	"io"
	"strings"
)

// Error reports wrong input: a flag, an argument or a setting that only the user can correct. A
// command that fails for any other reason returns another error.
type Error struct {
	Err error
	// Command names the command whose --help explains, if it is not the top-level one: "data
	// check".
	Command string
}

func (e *Error) Error() string { return e.Err.Error() }

// Unwrap returns the cause.
func (e *Error) Unwrap() error { return e.Err }

// Errorf returns an Error; %w wraps as in fmt.Errorf.
func Errorf(format string, args ...any) error {
	return &Error{Err: fmt.Errorf(format, args...)}
}

// Of sets the command of an Error in err; it returns any other error unchanged.
func Of(command string, err error) error {
	var wrong *Error
	if !errors.As(err, &wrong) {
		return err
	}
	return &Error{Err: err, Command: command}
}

// Positional is a non-flag argument: Name as the help spells it ("RUN") and where to store its
// value. Names in brackets ("[URL]") are optional and must come last; if one is not given, *Value
// keeps what it holds.
type Positional struct {
	Name  string
	Value *string
}

// Parse parses args into fs and the positional arguments, which may appear anywhere among the
// flags. On -h or --help it prints the help to fs.Output and returns flag.ErrHelp; any mistake is
// an *Error that names the argument.
func Parse(fs *flag.FlagSet, args []string, positional ...Positional) error {
	values, err := read(fs, args)
	switch {
	case err != nil:
		return err
	case len(values) > len(positional):
		surplus := values[len(positional)]
		return Errorf("unexpected argument %q%s", surplus, meant(fs, surplus, len(positional) == 0))
	case len(values) < len(positional) && !strings.HasPrefix(positional[len(values)].Name, "["):
		return Errorf("%s is missing", positional[len(values)].Name)
	}
	for i, value := range values {
		*positional[i].Value = value
	}
	return nil
}

// ParseAll is Parse for one or more positional arguments with the same name.
func ParseAll(fs *flag.FlagSet, args []string, name string, values *[]string) error {
	given, err := read(fs, args)
	switch {
	case err != nil:
		return err
	case len(given) == 0:
		return Errorf("%s is missing", name)
	}
	*values = given
	return nil
}

// read parses the flags, and prints the help if requested.
func read(fs *flag.FlagSet, args []string) (values []string, err error) {
	values, err = split(fs, args)
	switch {
	case errors.Is(err, flag.ErrHelp):
		fs.Usage()
		return nil, flag.ErrHelp
	case err != nil:
		return nil, &Error{Err: clearer(fs, err)}
	}
	return values, nil
}

// meant explains the likely cause of a surplus argument: a flag was left out, as some commands take
// a folder without one, or the shell expanded an unquoted pattern. bare is set for commands that
// take no argument without a flag.
func meant(fs *flag.FlagSet, surplus string, bare bool) string {
	absent := func(name, value string) bool {
		f := fs.Lookup(name)
		if f == nil || Given(fs, name) {
			return false
		}
		takes, _ := flag.UnquoteUsage(f)
		return takes == value
	}
	switch isModel := strings.HasSuffix(surplus, ".onnx"); {
	case isModel && absent("model", "FILE"): // not train's, which is the name of a backbone
		return fmt.Sprintf("; did you mean --model %s?", surplus)
	case Given(fs, "data"):
		return "; --data is one folder or file, or a pattern in quotes: --data 'photos/*.jpg'"
	case bare && !isModel && absent("data", "DIR"):
		return fmt.Sprintf("; did you mean --data %s?", surplus)
	}
	return ""
}

// split parses the flags, silencing fs, and returns the other arguments.
func split(fs *flag.FlagSet, args []string) (values []string, err error) {
	out, help := fs.Output(), fs.Usage
	if help == nil {
		help = fs.PrintDefaults
	}
	fs.Init(fs.Name(), flag.ContinueOnError)
	fs.SetOutput(io.Discard)
	fs.Usage = func() {}
	defer func() { fs.SetOutput(out); fs.Usage = help }()
	for {
		if err := fs.Parse(args); err != nil {
			return nil, err
		}
		rest := fs.Args()
		if len(rest) == 0 {
			return values, nil
		}
		if n := len(args) - len(rest); n > 0 && args[n-1] == "--" {
			return append(values, rest...), nil
		}
		values, args = append(values, rest[0]), rest[1:]
	}
}

// clearer rewrites the flag package's messages in the terms of the help.
func clearer(fs *flag.FlagSet, err error) error {
	text := err.Error()
	if name, ok := strings.CutPrefix(text, "flag provided but not defined: -"); ok {
		var names []string
		fs.VisitAll(func(f *flag.Flag) { names = append(names, f.Name) })
		if near := Closest(name, names); near != "" {
			return fmt.Errorf("unknown flag %s; did you mean %s?", dashed(name), dashed(near))
		}
		return fmt.Errorf("unknown flag %s", dashed(name))
	}
	if name, ok := strings.CutPrefix(text, "flag needs an argument: -"); ok {
		return fmt.Errorf("flag %s needs a value", dashed(name))
	}
	return wrongValue(fs, text)
}

// Require returns an Error that names the first of the flags that was not given.
func Require(fs *flag.FlagSet, names ...string) error {
	for _, name := range names {
		if Given(fs, name) {
			continue
		}
		value, _ := flag.UnquoteUsage(fs.Lookup(name))
		return Errorf("%s %s is missing", dashed(name), value)
	}
	return nil
}

// Given reports whether the flag was on the command line, even with its default value.
func Given(fs *flag.FlagSet, name string) bool {
	given := false
	fs.Visit(func(f *flag.Flag) { given = given || f.Name == name })
	return given
}
