package encoder

import (
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strconv"

	"vicreg/models/onnx"
	"vicreg/models/tensor"
)

// gather reads into a model the constants that it stores in external files, in dir or below:
// PyTorch's exporter does that.
func gather(model *onnx.ModelProto, dir string) (err error) {
	open := map[string]*os.File{}
	defer func() {
		for _, f := range open {
			err = errors.Join(err, f.Close())
		}
	}()
	for _, t := range constants(model.Graph) {
		if !outside(t) {
			continue
		}
		if err := take(t, dir, open); err != nil {
			return fmt.Errorf("read weights %q: %w", t.Name, err)
		}
	}
	return nil
}

func outside(t *onnx.TensorProto) bool { return t.DataLocation == onnx.TensorProto_EXTERNAL }

// constants returns all constants of a graph and its subgraphs.
func constants(g *onnx.GraphProto) []*onnx.TensorProto {
	all := slices.Clone(g.Initializer)
	for _, n := range g.Node {
		for _, a := range n.Attribute {
			if a.T != nil {
				all = append(all, a.T)
			}
			all = append(all, a.Tensors...)
		}
		for _, sub := range subgraphs(n) {
			all = append(all, constants(sub)...)
		}
	}
	return all
}

// take reads one constant; open caches the opened files by name.
func take(t *onnx.TensorProto, dir string, open map[string]*os.File) error {
	place := map[string]string{}
	for _, p := range t.ExternalData {
		place[p.Key] = p.Value
	}
	name := place["location"]
	if !filepath.IsLocal(name) {
		return fmt.Errorf("they should be in %q, which is not next to the model", name)
	}
	f := open[name]
	if f == nil {
		var err error
		if f, err = os.Open(filepath.Join(dir, name)); err != nil {
			return err
		}
		open[name] = f
	}
	info, err := f.Stat()
	if err != nil {
		return err
	}
	offset, size, err := extent(t, place)
	if err != nil {
		return err
	}
	if offset < 0 || size < 0 || offset > info.Size() || size > info.Size()-offset {
		return fmt.Errorf("%s has %d bytes, but the weights should be %d bytes from byte %d: the file belongs to another model or is truncated", name, info.Size(), size, offset)
	}
	raw := make([]byte, size)
	if _, err := f.ReadAt(raw, offset); err != nil && err != io.EOF {
		return err
	}
	t.RawData, t.DataLocation, t.ExternalData = raw, onnx.TensorProto_DEFAULT, nil
	return nil
}

// extent returns the location of a constant's bytes in its file. By default they start at 0 and
// their size follows from type and dimensions.
func extent(t *onnx.TensorProto, place map[string]string) (offset, size int64, err error) {
	size = int64(tensor.DType(t.DataType).Size())
	for _, d := range t.Dims {
		size *= d
	}
	for key, v := range map[string]*int64{"offset": &offset, "length": &size} {
		if text := place[key]; text != "" {
			if *v, err = strconv.ParseInt(text, 10, 64); err != nil {
				return 0, 0, fmt.Errorf("%s %q is not a number", key, text)
			}
		}
	}
	return offset, size, nil
}
