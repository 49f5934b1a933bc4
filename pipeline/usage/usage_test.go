package usage

import (
	"errors"
	"flag"
	"io"
	"io/fs"
	"strings"
	"testing"
)

func exampleFlags(out io.Writer) *flag.FlagSet {
	f := Flags(out, Text{
		Name: "train", Purpose: "Train a backbone.", Synopsis: "RUN [flags]",
		Examples: []string{"vicreg train runs/a --epochs 5"}, Notes: "\nThe end.\n",
	})
	f.Int("epochs", 100, "`N` passes over the images")
	f.Float64("lr", 0, "peak learning `rate`; chosen from batch and epochs when it is not given, and then printed, so that a run can be repeated")
	f.Bool("resume", false, "go on where the run stopped")
	f.String("o", "", "`FILE` to write")
	return f
}

func TestHelp(t *testing.T) {
	var out strings.Builder
	err := Parse(exampleFlags(&out), []string{"--help"}, Positional{"RUN", new(string)})
	if !errors.Is(err, flag.ErrHelp) {
		t.Fatalf("got %v", err)
	}
	want := `Train a backbone.

Usage:
  vicreg train RUN [flags]

For example:
  vicreg train runs/a --epochs 5

Flags:
  --epochs N
      N passes over the images (default 100)
  --lr rate
      peak learning rate; chosen from batch and epochs when it is not given, and
      then printed, so that a run can be repeated
  -o FILE
      FILE to write
  --resume
      go on where the run stopped

The end.
`
	if out.String() != want {
		t.Errorf("got\n%s\nwant\n%s", out.String(), want)
	}
}

func TestNotesFlow(t *testing.T) {
	notes := "\nOne sentence, broken\nwherever the source was broken, and long enough to need two lines in the help.\nAnother.\n\nNames:\n  area   kept as it is\n  ratio  too\nthe end\n"
	want := `One sentence, broken wherever the source was broken, and long enough to need two
lines in the help. Another.

Names:
  area   kept as it is
  ratio  too
the end`
	if got := strings.Join(flow(notes), "\n"); got != want {
		t.Errorf("got\n%s\nwant\n%s", got, want)
	}
}

func TestParseAll(t *testing.T) {
	for args, want := range map[string]string{
		"a --epochs 3 b": "a b", "--resume a": "a", "-- -a": "-a",
		"": "DIR is missing", "--epochs 3": "DIR is missing", "a --colour": "unknown flag --colour",
	} {
		var values []string
		err := ParseAll(exampleFlags(io.Discard), strings.Fields(args), "DIR", &values)
		if got := strings.Join(values, " "); err == nil && got != want || err != nil && err.Error() != want {
			t.Errorf("%q: got %q, %v, want %s", args, got, err, want)
		}
	}
}

// When the shell has expanded a pattern, the flag gets the first name and the rest are arguments.
func TestAnUnquotedPatternIsToldOf(t *testing.T) {
	fs := exampleFlags(io.Discard)
	fs.String("data", "", "")
	err := Parse(fs, strings.Fields("--data a.jpg b.jpg c.jpg"))
	if want := `unexpected argument "b.jpg"; --data is one folder or file, or a pattern in quotes: --data 'photos/*.jpg'`; err == nil || err.Error() != want {
		t.Errorf("got %v, want %s", err, want)
	}
}

// An argument whose flag was left out is answered with that flag, if the command has it.
func TestAnArgumentWithoutItsFlag(t *testing.T) {
	const unexpected = "unexpected argument "
	for _, c := range []struct{ flags, args, run, want string }{
		{"model=FILE data=DIR", "b.onnx --data photos", "", `"b.onnx"; did you mean --model b.onnx?`},
		{"model=FILE data=DIR", "b.onnx photos", "", `"b.onnx"; did you mean --model b.onnx?`},
		{"model=FILE data=DIR", "photos --model b.onnx", "", `"photos"; did you mean --data photos?`},
		{"model=FILE data=DIR", "--model a.onnx b.onnx", "", `"b.onnx"`},
		{"model=FILE", "b.onnx", "", `"b.onnx"; did you mean --model b.onnx?`},
		{"model=FILE", "photos", "", `"photos"`},
		{"data=DIR", "photos", "", `"photos"; did you mean --data photos?`},
		{"model=backbone data=DIR", "b.onnx", "", `"b.onnx"`},
		{"data=DIR", "b.onnx", "", `"b.onnx"`},
		{"model=FILE data=DIR", "run b.onnx", "RUN", `"b.onnx"; did you mean --model b.onnx?`},
		{"model=FILE data=DIR", "run other", "RUN", `"other"`},
	} {
		fs := exampleFlags(io.Discard)
		for name := range strings.FieldsSeq(c.flags) {
			name, value, _ := strings.Cut(name, "=")
			fs.String(name, "", "`"+value+"`")
		}
		var takes []Positional
		if c.run != "" {
			takes = append(takes, Positional{c.run, new(string)})
		}
		if err := Parse(fs, strings.Fields(c.args), takes...); err == nil || err.Error() != unexpected+c.want {
			t.Errorf("%+v: got %v", c, err)
		}
	}
}

func TestParseSaysWhatIsWrong(t *testing.T) {
	for args, want := range map[string]string{
		"":                   "RUN is missing",
		"a b":                `unexpected argument "b"`,
		"a --epoch 3":        "unknown flag --epoch; did you mean --epochs?",
		"a --colour":         "unknown flag --colour",
		"a --epochs":         "flag --epochs needs a value",
		"a --epochs=many":    `invalid value "many" for --epochs: want a whole number`,
		"a --resume=perhaps": `invalid boolean value "perhaps" for --resume: want true or false`,
		"a -o":               "flag -o needs a value",
		"a --O x":            "unknown flag -O",
		"a -- --epochs":      `unexpected argument "--epochs"`,
	} {
		var out strings.Builder
		err := Parse(exampleFlags(&out), strings.Fields(args), Positional{"RUN", new(string)})
		var wrong *Error
		if !errors.As(err, &wrong) || err.Error() != want {
			t.Errorf("%q: got %v, want %s", args, err, want)
		}
		if out.Len() > 0 {
			t.Errorf("%q: printed %q, the caller's business", args, out.String())
		}
	}
}

// A value that cannot be parsed is answered with what is expected, for each type; messages of
// custom flag types are kept, even if the value looks like one.
func TestParseSaysWhatIsWanted(t *testing.T) {
	for args, want := range map[string]string{
		"--epochs=1e2":                       `"1e2" for --epochs: want a whole number`,
		"--epochs=64.5":                      `"64.5" for --epochs: want a whole number`,
		"--epochs=99999999999999999999":      `"99999999999999999999" for --epochs: value out of range`,
		"--bytes=1.5":                        `"1.5" for --bytes: want a whole number`,
		"--seed=-5":                          `"-5" for --seed: want a whole number, 0 or more`,
		"--parts=x":                          `"x" for --parts: want a whole number, 0 or more`,
		"--lr=0,1":                           `"0,1" for --lr: want a number, such as 0.5 or 1e-3`,
		"--time=60":                          `"60" for --time: want a duration with a unit, such as 90s, 30m or 2h`,
		"--time=1d":                          `"1d" for --time: want a duration with a unit, such as 90s, 30m or 2h`,
		"--side=up":                          `"up" for --side: want left or right`,
		"--side=x for flag -lr: parse error": `"x for flag -lr: parse error" for --side: want left or right`,
		"--lr=x for flag -time: parse error": `"x for flag -time: parse error" for --lr: want a number, such as 0.5 or 1e-3`,
		"--resume=x for -lr and flag -time: parse error": `"x for -lr and flag -time: parse error" for --resume: want true or false`,
	} {
		f := exampleFlags(io.Discard)
		f.Int64("bytes", 0, "")
		f.Uint64("seed", 0, "")
		f.Uint("parts", 0, "")
		f.Duration("time", 0, "")
		f.Func("side", "", func(string) error { return errors.New("want left or right") })
		if err := Parse(f, []string{args}); err == nil || !strings.HasSuffix(err.Error(), "value "+want) {
			t.Errorf("%q: got %v, want %s", args, err, want)
		}
	}
}

func TestParseTakesFlagsOnBothSides(t *testing.T) {
	for _, args := range []string{"--lr 0.5 run --epochs 7", "run --epochs=7 -lr 0.5", "--epochs 7 --lr=0.5 -- run"} {
		var run string
		f := exampleFlags(io.Discard)
		if err := Parse(f, strings.Fields(args), Positional{"RUN", &run}); err != nil {
			t.Errorf("%q: %v", args, err)
		}
		if got := f.Lookup("epochs").Value.String() + f.Lookup("lr").Value.String() + run; got != "70.5run" {
			t.Errorf("%q: got %s", args, got)
		}
	}
}

func TestParseLeavesWhatIsOptional(t *testing.T) {
	for args, want := range map[string]string{"": "RUN is missing", "a": "a there", "a b": "a b", "a b c": `unexpected argument "c"`} {
		run, url := "", "there"
		err := Parse(exampleFlags(io.Discard), strings.Fields(args), Positional{"RUN", &run}, Positional{"[URL]", &url})
		got := run + " " + url
		if err != nil {
			got = err.Error()
		}
		if got != want {
			t.Errorf("%q: got %q, want %q", args, got, want)
		}
	}
}

func TestRequireAndGiven(t *testing.T) {
	f := exampleFlags(io.Discard)
	if err := Parse(f, []string{"--epochs", "100"}); err != nil {
		t.Fatal(err)
	}
	if !Given(f, "epochs") || Given(f, "lr") {
		t.Error("given flags are told apart by their value")
	}
	if err := Require(f, "epochs", "lr"); err == nil || err.Error() != "--lr rate is missing" {
		t.Errorf("got %v", err)
	}
	if err := Require(f, "o"); err == nil || err.Error() != "-o FILE is missing" {
		t.Errorf("got %v", err)
	}
	if err := Require(f, "epochs"); err != nil {
		t.Error(err)
	}
}

func TestErrorWraps(t *testing.T) {
	if err := Errorf("open data: %w", fs.ErrNotExist); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("%v lost its cause", err)
	}
}

func TestClosest(t *testing.T) {
	commands := []string{"train", "export", "doctor", "version"}
	for word, want := range map[string]string{
		"trian": "train", "exprt": "export", "versions": "version", "x": "", "frobnicate": "", "": "",
	} {
		if got := Closest(word, commands); got != want {
			t.Errorf("%q: got %q, want %q", word, got, want)
		}
	}
}
