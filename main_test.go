package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"image"
	"image/png"
	"io"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"github.com/rogpeppe/go-internal/testscript"

	"vicreg/models/ort"
	"vicreg/pipeline/usage"
)

// TestMain lets the stories run this test binary as the command vicreg.
func TestMain(m *testing.M) {
	testscript.Main(m, map[string]func(){"vicreg": main})
}

// TestStories runs scripts/cli/*.txtar: what a user types and what is printed.
func TestStories(t *testing.T) {
	library, err := ort.Find("")
	if err != nil {
		t.Fatal(err)
	}
	testscript.Run(t, testscript.Params{Dir: "scripts/cli", RequireExplicitExec: true, RequireUniqueNames: true,
		Setup: func(env *testscript.Env) error { // stories run without a home directory in which to find the library
			env.Setenv(ort.EnvLibrary, library)
			return nil
		},
		Cmds: map[string]func(*testscript.TestScript, bool, []string){"exits": exits, "lines": lines, "model": model, "owned": owned, "pictures": pictures, "served": served}})
}

// exits CODE ARG...: runs vicreg and expects this exit code.
func exits(ts *testscript.TestScript, _ bool, args []string) {
	err := ts.Exec("vicreg", args[1:]...)
	code := 0
	if err != nil {
		var exit interface{ ExitCode() int }
		if !errors.As(err, &exit) {
			ts.Fatalf("run vicreg: %v", err)
		}
		code = exit.ExitCode()
	}
	if fmt.Sprint(code) != args[0] {
		ts.Fatalf("vicreg %s: exit code %d, want %s", strings.Join(args[1:], " "), code, args[0])
	}
}

// lines FILE N: checks that the file (or stdout, stderr) has N lines.
func lines(ts *testscript.TestScript, _ bool, args []string) {
	if got := strings.Count(ts.ReadFile(args[0]), "\n"); fmt.Sprint(got) != args[1] {
		ts.Fatalf("%s has %d lines, want %s:\n%s", args[0], got, args[1], ts.ReadFile(args[0]))
	}
}

// pictures DIR N: creates a folder with N small PNG files, all different.
func pictures(ts *testscript.TestScript, _ bool, args []string) {
	n, err := strconv.Atoi(args[1])
	ts.Check(err)
	ts.Check(writePictures(ts.MkAbs(args[0]), n))
}

func writePictures(dir string, n int) error {
	if err := os.MkdirAll(dir, 0o777); err != nil {
		return err
	}
	for i := range n {
		m := image.NewNRGBA(image.Rect(0, 0, 24, 20))
		for j := range m.Pix {
			m.Pix[j] = uint8(j*(i+3)*37>>(i%5)) | 0x0f
		}
		f, err := os.Create(filepath.Join(dir, fmt.Sprintf("%02d.png", i)))
		if err != nil {
			return err
		}
		if err := errors.Join(png.Encode(f, m), f.Close()); err != nil {
			return err
		}
	}
	return nil
}

// Every command prints its help on stdout with code 0, and answers an unknown flag or a surplus
// argument with one line on stderr and code 2.
func TestEveryCommandExplainsItself(t *testing.T) {
	for _, c := range commands() {
		var out, errs strings.Builder
		if code := Main(t.Context(), []string{c.name, "--help"}, &out, &errs); code != 0 || errs.Len() > 0 {
			t.Errorf("%s --help: code %d, %s", c.name, code, errs.String())
		}
		if !strings.Contains(out.String(), "Usage:\n  vicreg "+c.name) {
			t.Errorf("%s --help prints\n%s", c.name, out.String())
		}
		out.Reset()
		if code := Main(t.Context(), []string{c.name, "--no-such-flag"}, &out, &errs); code != 2 || out.Len() > 0 {
			t.Errorf("%s --no-such-flag: code %d, stdout %q", c.name, code, out.String())
		}
		if got := errs.String(); strings.Count(got, "\n") != 1 || !strings.Contains(got, "--no-such-flag") {
			t.Errorf("%s --no-such-flag says %q", c.name, got)
		}
	}
}

func TestExitCodes(t *testing.T) {
	canceled, cancel := context.WithCancel(t.Context())
	cancel()
	stopped, stop := context.WithCancelCause(t.Context())
	stop(errors.New("terminated"))
	for _, c := range []struct {
		ctx  context.Context
		err  error
		code int
		want string
	}{
		{t.Context(), nil, 0, ""},
		{t.Context(), flag.ErrHelp, 0, ""},
		{t.Context(), errors.Join(io.EOF, os.ErrClosed), 1, "vicreg work: EOF; file already closed\n"},
		{t.Context(), fmt.Errorf("read config: %w", usage.Errorf("batch %d is below 2", 1)), 2,
			"vicreg work: read config: batch 1 is below 2 (see vicreg work --help)\n"},
		{t.Context(), usage.Of("work hard", fmt.Errorf("open: %w", usage.Errorf("no data"))), 2,
			"vicreg work: open: no data (see vicreg work hard --help)\n"},
		{t.Context(), usage.Of("work hard", io.EOF), 1, "vicreg work: EOF\n"},
		{t.Context(), usage.Of("work hard", nil), 0, ""},
		{canceled, fmt.Errorf("step 3: %w", context.Canceled), 130, "vicreg work: interrupted\n"},
		{stopped, fmt.Errorf("step 3: %w", context.Cause(stopped)), 130, "vicreg work: interrupted\n"},
		{canceled, io.EOF, 1, "vicreg work: EOF\n"},
		{t.Context(), context.Canceled, 1, "vicreg work: context canceled\n"},
	} {
		table := []command{{"work", "", func(context.Context, []string, io.Writer, io.Writer) error { return c.err }}}
		var out, errs strings.Builder
		if code := dispatch(c.ctx, table, []string{"work"}, &out, &errs); code != c.code || errs.String() != c.want {
			t.Errorf("%v: code %d, %q; want %d, %q", c.err, code, errs.String(), c.code, c.want)
		}
	}
}
