package pipeline

import (
	"bytes"
	"context"
	"errors"
	"flag"
	"regexp"
	"strings"
	"testing"

	"vicreg/models/ort"
	"vicreg/models/ort/orttest"
	"vicreg/pipeline/usage"
)

func TestDoctor(t *testing.T) {
	r := orttest.Open(t)
	var out bytes.Buffer
	if err := Doctor(t.Context(), []string{"--onnxruntime", r.Path()}, &out, &out); err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{
		`(?m)^cores +[1-9]`, `(?m)^memory +([0-9.]+ GiB|unknown)$`, `(?m)^library +` + regexp.QuoteMeta(r.Path()) + `$`,
		`(?m)^onnx runtime +` + regexp.QuoteMeta(r.Version()) + `$`, `(?m)^providers +.*CPU`,
		`(?m)^nchwc block +(8 channels|16 channels|none.*)$`, `(?m)^verdict +no problems found$`,
	} {
		if !regexp.MustCompile(want).MatchString(out.String()) {
			t.Errorf("no line like %s in\n%s", want, out.String())
		}
	}
}

func TestDoctorFinds(t *testing.T) {
	var out bytes.Buffer
	err := Doctor(t.Context(), []string{"--onnxruntime", "/no/such/library.so"}, &out, &out)
	if err == nil || !strings.Contains(err.Error(), "/no/such/library.so") || !strings.Contains(err.Error(), "scripts/get-onnxruntime.sh") {
		t.Errorf("error %v", err)
	}
	if wrong := new(usage.Error); errors.As(err, &wrong) {
		t.Error("a missing library is called wrong input")
	}
	if !strings.Contains(out.String(), "cores") || strings.Contains(out.String(), "verdict") {
		t.Errorf("printed\n%s", out.String())
	}
}

func TestDoctorStops(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := Doctor(ctx, nil, new(bytes.Buffer), new(bytes.Buffer)); !errors.Is(err, context.Canceled) {
		t.Errorf("error %v", err)
	}
}

func TestDoctorUsage(t *testing.T) {
	var out bytes.Buffer
	var wrong *usage.Error
	if err := Doctor(t.Context(), []string{"--cuda"}, &out, &out); !errors.As(err, &wrong) {
		t.Errorf("an unknown flag gave %v", err)
	}
	if err := Doctor(t.Context(), []string{"--device", "cuda:"}, &out, &out); !errors.As(err, &wrong) || out.Len() > 0 {
		t.Errorf("a device that is none gave %v and\n%s", err, out.String())
	}
	if err := Doctor(t.Context(), []string{"--help"}, &out, &out); !errors.Is(err, flag.ErrHelp) || !strings.Contains(out.String(), "--onnxruntime PATH") {
		t.Errorf("help gave %v and\n%s", err, out.String())
	}
}

func TestDoctorTexts(t *testing.T) {
	for got, want := range map[string]string{
		coresText(2, 2):     "2",
		coresText(2, 64):    "2 of 64, limited by the container",
		memoryText(0):       "unknown",
		memoryText(3 << 29): "1.5 GiB",
		providersText([]string{"CUDAExecutionProvider", "CPUExecutionProvider"}): "CUDA, CPU",
		shortName("libcudart.so.13"): "cudart",
		libraryText(ort.CUDALibrary{Name: "libx.so.1", Path: "/lib/libx.so.1"}):                   "/lib/libx.so.1",
		libraryText(ort.CUDALibrary{Name: "libx.so.1", Err: errors.New("noise")}):                 "libx.so.1 cannot be loaded: noise",
		libraryText(ort.CUDALibrary{Name: "libx.so.1", Err: errors.New("noise"), Optional: true}): "vicreg works without it: libx.so.1 cannot be loaded: noise",
		blockText(0): "none: training uses the portable graph",
		blockText(8): "8 channels",
	} {
		if got != want {
			t.Errorf("got %q, want %q", got, want)
		}
	}
}
