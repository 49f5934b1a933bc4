// Command vicreg pretrains image backbones with VICReg on ONNX Runtime: from a
// folder of unlabelled images to a frozen ONNX model, without Python.
package main

import (
	"cmp"
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"strings"

	"vicreg/models/ort"
	"vicreg/pipeline"
	"vicreg/pipeline/usage"
	"vicreg/server"
	"vicreg/server/indexing"
)

// Exit codes. Interruption by any signal exits with 130, the shell's 128 + SIGINT.
const (
	exitOK          = 0
	exitFailure     = 1
	exitWrongInput  = 2
	exitInterrupted = 130
)

type command struct {
	name, purpose string
	run           func(ctx context.Context, args []string, stdout, stderr io.Writer) error
}

func commands() []command {
	return []command{
		{"data", "check images before a run, or preview their views", pipeline.Data},
		{"train", "pretrain a backbone on a folder of images", pipeline.Train},
		{"export", "write the backbone of a run as an ONNX model", pipeline.Export},
		{"eval", "evaluate the vectors of an exported model", pipeline.Eval},
		{"embed", "compute the vectors of images and write them to a file", pipeline.Embed},
		{"index", "manage an index of images and their vectors for similarity search", indexing.Index},
		{"search", "find the images in an index that are most similar to another", indexing.Search},
		{"serve", "serve vectors and similarity search over HTTP", server.Serve},
		{"health", "check the health of a server, for probes", server.Health},
		{"doctor", "check this machine's ONNX Runtime and CUDA setup", pipeline.Doctor},
		{"version", "print version and build information", pipeline.Version},
	}
}

func main() {
	name := ""
	if len(os.Args) > 1 {
		name = os.Args[1]
	}
	if name == "train" {
		ort.UseHugePages()
	}
	os.Exit(Main(catch(name), os.Args[1:], os.Stdout, os.Stderr))
}

// Main runs the command named by args[0] and returns the exit code when the command has returned.
// ctx is cancelled by the first signal.
func Main(ctx context.Context, args []string, stdout, stderr io.Writer) int {
	return dispatch(ctx, commands(), args, stdout, stderr)
}

func dispatch(ctx context.Context, table []command, args []string, stdout, stderr io.Writer) int {
	if len(args) == 0 {
		io.WriteString(stderr, overview(table))
		return exitWrongInput
	}
	name, args := args[0], args[1:]
	switch name {
	case "help", "-h", "-help", "--help":
		if len(args) == 0 {
			io.WriteString(stdout, overview(table))
			return exitOK
		}
		name, args = args[0], []string{"--help"} // "help train" means "train --help"
	case "-version", "--version":
		name = "version"
	}
	names := make([]string, len(table))
	for i, c := range table {
		if c.name == name {
			return exitCode(ctx, name, c.run(ctx, args, stdout, stderr), stderr)
		}
		names[i] = c.name
	}
	hint := "vicreg --help lists all commands"
	if near := usage.Closest(name, names); near != "" {
		hint = "did you mean " + near + "?"
	}
	fmt.Fprintf(stderr, "vicreg: unknown command %q; %s\n", name, hint)
	return exitWrongInput
}

// exitCode reports err in one line on stderr and maps it to an exit code.
func exitCode(ctx context.Context, name string, err error, stderr io.Writer) int {
	if err == nil || errors.Is(err, flag.ErrHelp) {
		return exitOK
	}
	if ctx.Err() != nil && (errors.Is(err, context.Canceled) || errors.Is(err, context.Cause(ctx))) {
		fmt.Fprintf(stderr, "vicreg %s: interrupted\n", name)
		return exitInterrupted
	}
	line := usage.Line(err.Error())
	var wrong *usage.Error
	if errors.As(err, &wrong) {
		fmt.Fprintf(stderr, "vicreg %s: %s (see vicreg %s --help)\n", name, line, cmp.Or(wrong.Command, name))
		return exitWrongInput
	}
	fmt.Fprintf(stderr, "vicreg %s: %s\n", name, line)
	return exitFailure
}

func overview(table []command) string {
	var b strings.Builder
	b.WriteString("vicreg pretrains image backbones on folders of unlabelled images.\n\nUsage:\n  vicreg COMMAND [flags]\n\nCommands:\n")
	for _, c := range table {
		fmt.Fprintf(&b, "  %-9s %s\n", c.name, c.purpose)
	}
	b.WriteString("\nRun vicreg COMMAND --help for examples and all flags of a command.\n")
	return b.String()
}
