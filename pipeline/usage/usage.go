// Package usage is the manner in which commands speak: help written for a
// person, and one clear line for wrong input. The flag package's own printing is
// silenced; whoever calls the command prints the error and chooses the exit code.
package usage

import (
	"errors"
	"flag"
	"fmt"
	"io"
	"strings"
)

// Error is wrong input: a flag, an argument or a setting that only the user can
// put right. A command that fails for any other reason returns another error.
type Error struct {
	Err error
	// Command is the one whose help explains, where it is not that of the program's
	// table: "data check".
	Command string
}

func (e *Error) Error() string { return e.Err.Error() }

// Unwrap gives the cause.
func (e *Error) Unwrap() error { return e.Err }

// Errorf makes an Error; %w wraps as in fmt.Errorf.
func Errorf(format string, args ...any) error {
	return &Error{Err: fmt.Errorf(format, args...)}
}

// Of gives an Error in err the command it is of; any other error stays what it is.
func Of(command string, err error) error {
	var wrong *Error
	if !errors.As(err, &wrong) {
		return err
	}
	return &Error{Err: err, Command: command}
}

// Positional is an argument that is no flag: Name as the help spells it ("RUN"),
// and where its value goes. It is required, and those in brackets ("[URL]"), which
// come last, are not: what Value holds stays when they are not given.
type Positional struct {
	Name  string
	Value *string
}

// Parse reads args into fs and the positional arguments, in any order among the
// flags. On -h or --help it prints the help to fs.Output and returns
// flag.ErrHelp; everything wrong is an *Error that names the argument.
func Parse(fs *flag.FlagSet, args []string, positional ...Positional) error {
	values, err := read(fs, args)
	switch {
	case err != nil:
		return err
	case len(values) > len(positional):
		return Errorf("unexpected argument %q%s", values[len(positional)], unquoted(fs))
	case len(values) < len(positional) && !strings.HasPrefix(positional[len(values)].Name, "["):
		return Errorf("%s is missing", positional[len(values)].Name)
	}
	for i, value := range values {
		*positional[i].Value = value
	}
	return nil
}

// ParseAll is Parse for any number of positional arguments of one name, but one at the
// least.
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

// read parses the flags, and prints the help where that is asked for.
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

// unquoted is the likely cause of an argument too many where images are given with a
// flag: the shell put many names in the place of a pattern.
func unquoted(fs *flag.FlagSet) string {
	if !Given(fs, "data") {
		return ""
	}
	return "; --data is one folder or file, or a pattern in quotes: --data 'photos/*.jpg'"
}

// split parses the flags with fs kept quiet and returns the other arguments.
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

// clearer puts the flag package's messages into the words of the help.
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

// Given tells whether the flag stood on the command line, even with its default.
func Given(fs *flag.FlagSet, name string) bool {
	given := false
	fs.Visit(func(f *flag.Flag) { given = given || f.Name == name })
	return given
}
