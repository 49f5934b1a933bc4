package pipeline

import (
	"context"
	"fmt"
	"io"
	"runtime"
	"slices"
	"strings"

	"vicreg/models/ort"
	"vicreg/pipeline/usage"
)

// Doctor prints what vicreg finds on this machine to run on. What keeps it from
// working is the error; it comes after all else that could be found out.
func Doctor(ctx context.Context, args []string, stdout, stderr io.Writer) error {
	fs := usage.Flags(stdout, usage.Text{
		Name:     "doctor",
		Purpose:  "Show which ONNX Runtime, how many cores and how much memory vicreg finds here, and what is wrong if something is.",
		Synopsis: "[flags]",
		Examples: []string{"vicreg doctor", "vicreg doctor --onnxruntime /opt/onnxruntime/lib"},
		Notes: "The library is looked for at the flag, at VICREG_ONNXRUNTIME, in\n" +
			"  " + ort.DefaultDir() + "\n" +
			"where scripts/get-onnxruntime.sh puts it, in .onnxruntime beside the program, and\n" +
			"where the system keeps libraries. The exit code is 1 when something is wrong.",
	})
	library := fs.String("onnxruntime", "", "use the ONNX Runtime library at `PATH`, a file or its folder")
	if err := usage.Parse(fs, args); err != nil {
		return err
	}
	d := findings{w: stdout}
	d.line("cores", "%s", coresText(ort.Cores(), runtime.NumCPU()))
	d.line("memory", "%s", memoryText(ort.Memory()))
	if ctx.Err() != nil {
		return ctx.Err()
	}
	if err := examine(&d, *library); err != nil {
		return err
	}
	d.line("verdict", "nothing is wrong")
	return d.err
}

// examine reports on the runtime, down to a model that has to run on it.
func examine(d *findings, flag string) error {
	path, err := ort.Find(flag)
	if err != nil {
		return err
	}
	d.line("library", "%s", path)
	r, err := ort.Open(path)
	if err != nil {
		return err
	}
	d.line("onnx runtime", "%s", r.Version())
	providers, err := r.Providers()
	if err != nil {
		return err
	}
	d.line("providers", "%s", providersText(providers))
	if !slices.Contains(providers, "CPUExecutionProvider") {
		return fmt.Errorf("onnx runtime %s has no CPU execution provider", path)
	}
	block, err := ort.BlockSize(r)
	if err != nil {
		return err
	}
	d.line("nchwc block", "%s", blockText(block))
	return nil
}

// findings writes aligned lines and keeps the first error of the writer.
type findings struct {
	w   io.Writer
	err error
}

func (r *findings) line(name, format string, args ...any) {
	if r.err == nil {
		_, r.err = fmt.Fprintf(r.w, "%-13s %s\n", name, fmt.Sprintf(format, args...))
	}
}

func coresText(cores, all int) string {
	if cores < all {
		return fmt.Sprintf("%d of %d, by the container's limit", cores, all)
	}
	return fmt.Sprint(cores)
}

func memoryText(bytes int64) string {
	if bytes == 0 {
		return "unknown"
	}
	return fmt.Sprintf("%.1f GiB", float64(bytes)/(1<<30))
}

// providersText shortens CPUExecutionProvider to CPU.
func providersText(names []string) string {
	short := make([]string, len(names))
	for i, n := range names {
		short[i] = strings.TrimSuffix(n, "ExecutionProvider")
	}
	return strings.Join(short, ", ")
}

func blockText(size int) string {
	if size == 0 {
		return "none: training takes the portable graph"
	}
	return fmt.Sprintf("%d channels", size)
}
