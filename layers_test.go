package main

import (
	"fmt"
	"go/parser"
	"go/token"
	"io/fs"
	"maps"
	"os"
	"path"
	"slices"
	"strconv"
	"strings"
	"testing"
	"testing/fstest"
)

// layers assigns every package a layer; a package may only import packages strictly below its own.
// A new package must be added here.
var layers = map[string]int{
	"models/onnx": 0, "models/tensor": 0, "pipeline/imaging": 0, "pipeline/stats": 0, "pipeline/usage": 0, "pipeline/vectors": 0, "pipeline/whole": 0,
	"server/batch": 0, "server/index/filter": 0, "server/index/scan": 0, "server/index/store": 0, "server/jsonlog": 0, "server/page": 0,
	"server/index/sketch": 1, "server/index/near": 2, "server/index": 2, "server/problem": 3, "server/request": 4, "server/engine": 5, "server/items": 6, "server/servertest": 4,
	"models/graph": 1, "models/ort": 1, "models/ort/standin": 0, "pipeline/checkpoint": 1, "pipeline/dataset": 1, "pipeline/thumbnail": 1,
	"models/quantize": 1, "models/grad": 2, "models/graph/reference": 2, "models/nn": 2, "models/optim": 2, "models/ort/orttest": 2, "pipeline/encoder": 2, "server/index/indextest": 3,
	"models": 3, "pipeline/bulk": 3, "pipeline/linear": 3,
	"pipeline": 4,
	"server":   7, "server/indexing": 5,
	".": 8, "scripts/samples": 6, "scripts/bench/peer": 0, "scripts/bench/int8": 6, "scripts/bench/networks": 5, "scripts/bench/steps": 4, "scripts/bench/trainstep": 6, "scripts/bench/gpu": 6, "scripts/bench/listing": 6, "scripts/bench/index": 6, "scripts/bench/collectives": 6, "scripts/bench/data": 6, "scripts/bench/serve": 6,
	"scripts/golden": 1,
}

// sideways lists the permitted imports within a layer.
var sideways = []string{
	"models/onnx > models/tensor",          // a TensorProto is made from a tensor
	"models/nn > models/grad",              // layers define gradient rules of composite nodes
	"server/index/filter > pipeline/usage", // suggestions for mistyped words
}

// barred lists what the server must not depend on: it serves files and does not train.
var barred = []string{"models/graph", "models/grad", "models/nn", "models/optim", "pipeline"}

// forTests lists the packages that only tests may import.
var forTests = []string{"models/graph/reference", "models/ort/orttest", "models/ort/standin", "scripts/golden", "server/index/indextest", "server/servertest"}

// nativeFile, a decoder enabled by a build tag, and the packages in native are the only code that
// may use cgo and unsafe, except for unsafe in generated protobuf code.
const nativeFile = "pipeline/imaging/turbojpeg.go"

var native = []string{"models/ort", "server/index/scan"}

func TestLayers(t *testing.T) {
	for _, v := range violations(t, os.DirFS(".")) {
		t.Error(v)
	}
}

// The rules name no package that no longer exists.
func TestLayersAreOfPackages(t *testing.T) {
	named := slices.Concat(slices.Collect(maps.Keys(layers)), barred, forTests, native, []string{path.Dir(nativeFile)})
	for _, pair := range sideways {
		from, to, _ := strings.Cut(pair, " > ")
		named = append(named, from, to)
	}
	for _, pkg := range gone(t, os.DirFS("."), named) {
		t.Errorf("%s is named in layers_test.go, and there is no such package", pkg)
	}
	tree := fstest.MapFS{"models/a.go": {}, "pipeline/report/README.md": {}}
	if got := gone(t, tree, []string{"server", "pipeline/report", "models", "server"}); !slices.Equal(got, []string{"pipeline/report", "server"}) {
		t.Errorf("found %q", got)
	}
}

// gone returns the packages that a tree lacks, sorted and without duplicates.
func gone(t *testing.T, tree fs.FS, packages []string) (missing []string) {
	t.Helper()
	for _, pkg := range packages {
		files, err := fs.Glob(tree, path.Join(pkg, "*.go"))
		if err != nil {
			t.Fatal(err)
		}
		if len(files) == 0 {
			missing = append(missing, pkg)
		}
	}
	slices.Sort(missing)
	return slices.Compact(missing)
}

// Each rule is violated once in a synthetic tree, to show that the checks can fail.
func TestLayersFindViolations(t *testing.T) {
	tree := fstest.MapFS{
		"models/graph/a.go":             {Data: []byte("package graph\nimport _ \"vicreg/models\"\n")},
		"models/grad/a.go":              {Data: []byte("package grad\nimport _ \"vicreg/models/nn\"\n")},
		"models/grad/a_test.go":         {Data: []byte("package grad\nimport _ \"vicreg/pipeline\"\nimport _ \"vicreg/models/ort/orttest\"\n")},
		"models/nn/a.go":                {Data: []byte("package nn\nimport _ \"vicreg/models/grad\"\n")},
		"models/onnx/onnx.pb.go":        {Data: []byte("package onnx\nimport _ \"unsafe\"\n")},
		"models/tensor/a_test.go":       {Data: []byte("package tensor\nimport _ \"unsafe\"\n")},
		"models/ort/shim.go":            {Data: []byte("package ort\nimport \"C\"\nimport _ \"unsafe\"\n")},
		"pipeline/imaging/turbojpeg.go": {Data: []byte("package imaging\nimport \"C\"\nimport _ \"unsafe\"\n")},
		"pipeline/imaging/a.go":         {Data: []byte("package imaging\nimport \"C\"\n")},
		"models/c.go":                   {Data: []byte("package models\nimport \"C\"\nimport _ \"vicreg/models/ort/orttest\"\n")},
		"server/a.go":                   {Data: []byte("package server\nimport _ \"vicreg/pipeline\"\n")},
		"server/engine/a.go":            {Data: []byte("package engine\nimport _ \"vicreg/models/nn\"\n")},
		"server/new/a.go":               {Data: []byte("package new\n")},
		"server/testdata/skipped/a.go":  {Data: []byte("not Go")},
		"build/skipped.go":              {Data: []byte("not Go")},
	}
	want := []string{
		"models imports C, which only models/ort and server/index/scan may",
		"models imports models/ort/orttest, which is for tests",
		"models/grad (layer 2) imports models/nn (layer 2)",
		"models/graph (layer 1) imports models (layer 3)",
		"models/tensor imports unsafe, which only models/ort and server/index/scan may",
		"pipeline/imaging imports C, which only models/ort and server/index/scan may",
		"server imports pipeline, which the server must do without",
		"server/engine imports models/nn, which the server must do without",
		"server/new has no layer: place it in layers_test.go",
	}
	if got := violations(t, tree); !slices.Equal(got, want) {
		t.Errorf("got\n%s\nwant\n%s", strings.Join(got, "\n"), strings.Join(want, "\n"))
	}
}

// violations checks the imports of all Go files in a tree, sorted and without duplicates.
func violations(t *testing.T, tree fs.FS) []string {
	t.Helper()
	var found []string
	err := fs.WalkDir(tree, ".", func(name string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		base := d.Name()
		if d.IsDir() && name != "." && (base[0] == '.' || base[0] == '_' || base == "testdata" || name == "build" || name == "quickstart") {
			return fs.SkipDir
		}
		if d.IsDir() || !strings.HasSuffix(base, ".go") {
			return nil
		}
		imports, err := importsOf(tree, name)
		if err != nil {
			return err
		}
		found = append(found, judge(name, imports)...)
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	slices.Sort(found)
	return slices.Compact(found)
}

func importsOf(tree fs.FS, name string) ([]string, error) {
	src, err := fs.ReadFile(tree, name)
	if err != nil {
		return nil, err
	}
	file, err := parser.ParseFile(token.NewFileSet(), name, src, parser.ImportsOnly)
	if err != nil {
		return nil, err
	}
	var imports []string
	for _, spec := range file.Imports {
		p, err := strconv.Unquote(spec.Path.Value)
		if err != nil {
			return nil, err
		}
		imports = append(imports, p)
	}
	return imports, nil
}

// judge applies the rules to one file. Tests may import upwards, to run what they build.
func judge(name string, imports []string) (found []string) {
	pkg := path.Dir(name)
	layer, placed := layers[pkg]
	if !placed {
		return []string{pkg + " has no layer: place it in layers_test.go"}
	}
	isTest := strings.HasSuffix(name, "_test.go")
	for _, full := range imports {
		inner, own := strings.CutPrefix(full, "vicreg/")
		switch below, known := layers[inner]; {
		case full == "C", full == "unsafe":
			if !slices.Contains(native, pkg) && name != nativeFile && !(full == "unsafe" && strings.HasSuffix(name, ".pb.go")) {
				found = append(found, fmt.Sprintf("%s imports %s, which only %s may", pkg, full, strings.Join(native, " and ")))
			}
		case !own:
		case !known:
			found = append(found, inner+" has no layer: place it in layers_test.go")
		case strings.HasPrefix(pkg, "server") && !isTest && slices.Contains(barred, inner):
			found = append(found, fmt.Sprintf("%s imports %s, which the server must do without", pkg, inner))
		case isTest:
		case slices.Contains(forTests, inner) && !slices.Contains(forTests, pkg):
			found = append(found, fmt.Sprintf("%s imports %s, which is for tests", pkg, inner))
		case below >= layer && !slices.Contains(sideways, pkg+" > "+inner):
			found = append(found, fmt.Sprintf("%s (layer %d) imports %s (layer %d)", pkg, layer, inner, below))
		}
	}
	return found
}
