package pipeline

import (
	"context"
	"fmt"
	"io"
	"runtime"
	"slices"
	"strings"

	"vicreg/models/ort"
	"vicreg/models/tensor"
	"vicreg/pipeline/usage"
)

// Doctor prints what vicreg finds on this machine. It returns what keeps vicreg from working as an
// error, after printing everything else it could find out.
func Doctor(ctx context.Context, args []string, stdout, stderr io.Writer) error {
	fs := usage.Flags(stdout, usage.Text{
		Name:     "doctor",
		Purpose:  "Show the ONNX Runtime, cores, memory and, with --device cuda, the CUDA libraries that vicreg finds, and any problem with them.",
		Synopsis: "[flags]",
		Examples: []string{"vicreg doctor", "vicreg doctor --device cuda", "vicreg doctor --onnxruntime /opt/onnxruntime/lib"},
		Notes: "The library is looked up at --onnxruntime, at VICREG_ONNXRUNTIME, in\n" +
			"  " + ort.DefaultDir() + "\n" +
			"where scripts/get-onnxruntime.sh puts it, in .onnxruntime beside the program, and\n" +
			"in the system's library folders. The CUDA build, which that script fetches with\n" +
			"--cuda, is in the folder cuda of the first two.\n\n" +
			"With --device cuda every library of CUDA 13 and cuDNN 9 gets a line. They are looked up\n" +
			"where the system's loader looks, in /usr/local/cuda, and in Python packages; the\n" +
			"folders listed in VICREG_CUDA_LIBRARIES come first, and replace the last two. Then a\n" +
			"small model with a known answer is run on the device.\n\n" +
			"The exit code is 1 if there is a problem.",
	})
	library := fs.String("onnxruntime", "", "`PATH` of the ONNX Runtime library, a file or its folder")
	name := fs.String("device", "cpu", "`DEVICE` to run on: cpu, cuda, or cuda:1 for the second CUDA device")
	if err := usage.Parse(fs, args); err != nil {
		return err
	}
	device, err := ort.ParseDevice(*name)
	if err != nil {
		return usage.Errorf("flag --device: %w", err)
	}
	d := findings{w: stdout}
	d.line("cores", "%s", coresText(ort.Cores(), runtime.NumCPU()))
	d.line("memory", "%s", memoryText(ort.Memory()))
	if ctx.Err() != nil {
		return ctx.Err()
	}
	look := examine
	if device.Kind == tensor.CUDA {
		look = examineCUDA
	}
	if err := look(&d, *library, device); err != nil {
		return err
	}
	d.line("verdict", "no problems found")
	return d.err
}

// examine reports on the CPU runtime, ending with a model that must run on it.
func examine(d *findings, flag string, device ort.Device) error {
	path, err := ort.FindFor(flag, device)
	if err != nil {
		return err
	}
	r, err := examineRuntime(d, path, "CPUExecutionProvider")
	if err != nil {
		return err
	}
	block, err := ort.BlockSize(r)
	if err != nil {
		return err
	}
	d.line("nchwc block", "%s", blockText(block))
	return nil
}

// examineRuntime opens the library and reports on it; it is an error if it lacks the provider.
func examineRuntime(d *findings, path, provider string) (*ort.Runtime, error) {
	d.line("library", "%s", path)
	r, err := ort.Open(path)
	if err != nil {
		return nil, err
	}
	d.line("onnx runtime", "%s", r.Version())
	providers, err := r.Providers()
	if err != nil {
		return nil, err
	}
	d.line("providers", "%s", providersText(providers))
	if !slices.Contains(providers, provider) {
		return nil, fmt.Errorf("onnx runtime %s has no %s execution provider", path, providersText([]string{provider}))
	}
	return r, nil
}

// findings writes aligned lines and keeps the writer's first error.
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
		return fmt.Sprintf("%d of %d, limited by the container", cores, all)
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
		return "none: training uses the portable graph"
	}
	return fmt.Sprintf("%d channels", size)
}
