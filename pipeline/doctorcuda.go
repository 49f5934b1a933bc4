package pipeline

import (
	"path/filepath"
	"strings"

	"vicreg/models/ort"
)

// examineCUDA reports on everything a CUDA device needs, even after something is missing, ending
// with a model that must give the right answer on it.
func examineCUDA(d *findings, flag string, device ort.Device) error {
	var r *ort.Runtime
	path, err := ort.FindFor(flag, device)
	if err == nil {
		r, err = examineRuntime(d, path, "CUDAExecutionProvider")
	}
	found := ort.FindCUDA(filepath.Dir(path)) // "." without a path, which FindCUDA ignores
	for _, l := range found.Libraries {
		d.line(shortName(l.Name), "%s", libraryText(l))
	}
	d.line("driver", "%s", found.DriverText())
	if found.Driver > 0 {
		d.line("devices", "%d", found.Devices)
	}
	if err == nil {
		err = found.Check(device.Index)
	}
	if err == nil {
		err = ort.Try(r, device)
	}
	if err != nil {
		return err
	}
	d.line("answer", "correct, from %v", device)
	return nil
}

// shortName shortens libcudart.so.13 to cudart.
func shortName(library string) string {
	name, _, _ := strings.Cut(strings.TrimPrefix(library, "lib"), ".so")
	return name
}

func libraryText(l ort.CUDALibrary) string {
	text := l.Problem()
	switch {
	case text == "":
		text = l.Path
	case l.Optional:
		text = "vicreg works without it: " + text
	}
	return text
}
