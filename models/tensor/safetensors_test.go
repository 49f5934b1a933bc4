package tensor

import (
	"bytes"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"io"
	"math"
	"reflect"
	"strings"
	"testing"
)

func write(t *testing.T, tensors map[string]*Tensor, metadata map[string]string) []byte {
	t.Helper()
	var b bytes.Buffer
	if err := WriteSafetensors(&b, tensors, metadata); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

func read(b []byte) (map[string]*Tensor, map[string]string, error) {
	return ReadSafetensors(bytes.NewReader(b), int64(len(b)))
}

// everyType holds each dtype once, with odd lengths, a scalar and an empty tensor.
func everyType() map[string]*Tensor {
	return map[string]*Tensor{
		"f64":    Of([]float64{math.Pi, math.Inf(-1), math.Copysign(0, -1)}, 3, 1),
		"f32":    Of([]float32{1, -2.5, float32(math.Inf(1))}),
		"f16":    {Type: Float16, Shape: []int{3}, Data: []uint16{0x3c00, 0xc100, 1}},
		"bf16":   {Type: BFloat16, Shape: []int{1}, Data: []uint16{0x3f80}},
		"i64":    Of([]int64{math.MinInt64, math.MaxInt64}),
		"i32":    Of([]int32{math.MinInt32, 7}),
		"i8":     Of([]int8{-128, 0, 127}),
		"u8":     Of([]uint8{0, 255}, 1, 2),
		"bool":   Of([]bool{true, false, true}),
		"scalar": {Type: Float32, Shape: []int{}, Data: []float32{42}},
		"empty":  {Type: Float32, Shape: []int{0, 5}, Data: []float32{}},
	}
}

func TestSafetensorsRoundTrip(t *testing.T) {
	want, meta := everyType(), map[string]string{"b": "é \"quoted\"", "a": ""}
	b := write(t, want, meta)
	if n := binary.LittleEndian.Uint64(b); n%8 != 0 {
		t.Errorf("header of %d bytes is not aligned", n)
	}
	got, gotMeta, err := read(b)
	if err != nil {
		t.Fatal(err)
	}
	if !reflect.DeepEqual(got, want) {
		t.Errorf("read %v, wrote %v", got, want)
	}
	if !reflect.DeepEqual(gotMeta, meta) {
		t.Errorf("read metadata %v, wrote %v", gotMeta, meta)
	}
	if again := write(t, got, gotMeta); !bytes.Equal(again, b) {
		t.Error("equal content gave other bytes")
	}
}

func TestSafetensorsLargerThanAChunk(t *testing.T) {
	data := make([]float32, 3*chunkBytes/4+5)
	for i := range data {
		data[i] = float32(i)
	}
	bits := make([]bool, chunkBytes+1)
	bits[chunkBytes] = true
	got, _, err := read(write(t, map[string]*Tensor{"x": Of(data), "y": Of(bits)}, nil))
	if err != nil {
		t.Fatal(err)
	}
	if !reflect.DeepEqual(got["x"].Data, data) || !reflect.DeepEqual(got["y"].Data, bits) {
		t.Error("data changed on the way")
	}
}

// The bytes were written by the reference implementation:
//
//	python -c "import numpy as n, safetensors.numpy as s
//	print(s.save({'b': n.array([[1.5, -2]], 'f4'), 'a': n.array([7], 'i8'), 'm': n.array([True, False])}, {'k': 'v'}).hex())"
//
// with safetensors 0.8.0.
const reference = "c0000000000000007b225f5f6d657461646174615f5f223a7b226b223a2276227d2c2261223a7b226474797065223a22493634222c227368617065223a5b315d2c22646174615f6f666673657473223a5b302c385d7d2c2262223a7b226474797065223a22463332222c227368617065223a5b312c325d2c22646174615f6f666673657473223a5b382c31365d7d2c226d223a7b226474797065223a22424f4f4c222c227368617065223a5b325d2c22646174615f6f666673657473223a5b31362c31385d7d7d2007000000000000000000c03f000000c00100"

func TestSafetensorsEqualsReference(t *testing.T) {
	want := map[string]*Tensor{
		"b": Of([]float32{1.5, -2}, 1, 2), "a": Of([]int64{7}), "m": Of([]bool{true, false}),
	}
	ref, err := hex.DecodeString(reference)
	if err != nil {
		t.Fatal(err)
	}
	got, meta, err := read(ref)
	if err != nil {
		t.Fatal(err)
	}
	if !reflect.DeepEqual(got, want) || meta["k"] != "v" {
		t.Errorf("read %v %v", got, meta)
	}
	if b := write(t, want, meta); !bytes.Equal(b, ref) {
		t.Errorf("wrote\n%q\nreference\n%q", b, ref)
	}
}

func file(header string, data int) []byte {
	b := binary.LittleEndian.AppendUint64(nil, uint64(len(header)))
	return append(append(b, header...), make([]byte, data)...)
}

func TestSafetensorsRefuses(t *testing.T) {
	const ok = `"dtype":"F32","shape":[2],"data_offsets":[0,8]`
	for name, c := range map[string]struct {
		file []byte
		want string
	}{
		"empty file":       {nil, "not a safetensors file"},
		"huge header":      {binary.LittleEndian.AppendUint64(nil, maxHeader+1), "over the limit"},
		"header past end":  {binary.LittleEndian.AppendUint64(nil, 99), "does not fit"},
		"negative header":  {binary.LittleEndian.AppendUint64(nil, math.MaxUint64), "over the limit"},
		"not JSON":         {file("hello", 0), "not a JSON object"},
		"cut JSON":         {file(`{"a":{`+ok+`}`, 8), "EOF"},
		"trailing":         {file(`{"a":{`+ok+`}} x`, 8), "after the JSON"},
		"repeated name":    {file(`{"a":{`+ok+`},"a":{`+ok+`}}`, 8), "repeated"},
		"unknown dtype":    {file(`{"a":{"dtype":"F8","shape":[2],"data_offsets":[0,2]}}`, 2), "unknown dtype"},
		"missing shape":    {file(`{"a":{"dtype":"F32","data_offsets":[0,8]}}`, 8), "missing"},
		"three offsets":    {file(`{"a":{"dtype":"F32","shape":[2],"data_offsets":[0,8,9]}}`, 8), "missing"},
		"negative span":    {file(`{"a":{"dtype":"F32","shape":[2],"data_offsets":[-8,0]}}`, 8), "not a span"},
		"backward span":    {file(`{"a":{"dtype":"F32","shape":[2],"data_offsets":[8,0]}}`, 8), "not a span"},
		"negative dim":     {file(`{"a":{"dtype":"F32","shape":[-2],"data_offsets":[0,8]}}`, 8), "negative"},
		"overflow":         {file(`{"a":{"dtype":"F32","shape":[4294967296,4294967296,2],"data_offsets":[0,8]}}`, 8), "too large"},
		"size overflow":    {file(`{"a":{"dtype":"F64","shape":[2305843009213693952],"data_offsets":[0,0]}}`, 0), "does not fill"},
		"float dim":        {file(`{"a":{"dtype":"F32","shape":[2.5],"data_offsets":[0,8]}}`, 8), "cannot unmarshal"},
		"wrong size":       {file(`{"a":{"dtype":"F32","shape":[3],"data_offsets":[0,8]}}`, 8), "does not fill"},
		"overlap":          {file(`{"a":{`+ok+`},"b":{`+ok+`}}`, 8), "overlap"},
		"hole":             {file(`{"a":{"dtype":"F32","shape":[2],"data_offsets":[4,12]}}`, 12), "gap"},
		"truncated data":   {file(`{"a":{`+ok+`}}`, 7), "truncated"},
		"surplus data":     {file(`{"a":{`+ok+`}}`, 9), "unused bytes"},
		"metadata number":  {file(`{"__metadata__":{"a":1}}`, 0), "not a string"},
		"metadata null":    {file(`{"__metadata__":{"a":null}}`, 0), "not a string"},
		"metadata no dict": {file(`{"__metadata__":[]}`, 0), "expected a JSON object"},
		"boolean 2":        {append(file(`{"a":{"dtype":"BOOL","shape":[1],"data_offsets":[0,1]}}`, 0), 2), "not a boolean"},
	} {
		t.Run(name, func(t *testing.T) {
			_, _, err := read(c.file)
			if err == nil || !strings.Contains(err.Error(), c.want) {
				t.Errorf("got %v, want an error with %q", err, c.want)
			}
		})
	}
}

func TestSafetensorsShortReader(t *testing.T) {
	b := write(t, map[string]*Tensor{"x": Of([]float32{1, 2})}, nil)
	_, _, err := ReadSafetensors(bytes.NewReader(b[:len(b)-1]), int64(len(b)))
	if !errors.Is(err, io.ErrUnexpectedEOF) {
		t.Errorf("got %v, want unexpected EOF", err)
	}
}

func TestWriteSafetensorsRefuses(t *testing.T) {
	for name, x := range map[string]map[string]*Tensor{
		"no tensor":     {"a": nil},
		"reserved name": {metadataKey: Of([]float32{1})},
		"bad UTF-8":     {"\xff": Of([]float32{1})},
		"short data":    {"a": {Type: Float32, Shape: []int{2}, Data: []float32{1}}},
		"wrong type":    {"a": {Type: Int8, Shape: []int{1}, Data: []float32{1}}},
		"unknown data":  {"a": {Type: Float32, Shape: []int{1}, Data: "x"}},
		"negative dim":  {"a": {Type: Float32, Shape: []int{-1}, Data: []float32{}}},
	} {
		var b bytes.Buffer
		if err := WriteSafetensors(&b, x, nil); err == nil || b.Len() > 0 {
			t.Errorf("%s: got error %v after %d bytes", name, err, b.Len())
		}
	}
}

func TestDigestSeesEveryChange(t *testing.T) {
	digest := func(x map[string]*Tensor, m map[string]string) [32]byte {
		d, err := Digest(x, m)
		if err != nil {
			t.Fatal(err)
		}
		return d
	}
	base := digest(map[string]*Tensor{"a": Of([]float32{1, 2})}, map[string]string{"k": "v"})
	if again := digest(map[string]*Tensor{"a": Of([]float32{1, 2})}, map[string]string{"k": "v"}); again != base {
		t.Error("equal content, other digest")
	}
	for name, d := range map[string][32]byte{
		"value":    digest(map[string]*Tensor{"a": Of([]float32{1, 3})}, map[string]string{"k": "v"}),
		"name":     digest(map[string]*Tensor{"b": Of([]float32{1, 2})}, map[string]string{"k": "v"}),
		"shape":    digest(map[string]*Tensor{"a": Of([]float32{1, 2}, 2, 1)}, map[string]string{"k": "v"}),
		"type":     digest(map[string]*Tensor{"a": Of([]int32{0x3f800000, 0x40000000})}, map[string]string{"k": "v"}),
		"metadata": digest(map[string]*Tensor{"a": Of([]float32{1, 2})}, map[string]string{"k": "w"}),
		"key":      digest(map[string]*Tensor{"a": Of([]float32{1, 2})}, map[string]string{"kv": ""}),
	} {
		if d == base {
			t.Errorf("a change of %s left the digest", name)
		}
	}
	if _, err := Digest(map[string]*Tensor{"a": nil}, nil); err == nil {
		t.Error("no error for a missing tensor")
	}
}

// FuzzReadSafetensors checks that no input causes a panic, and that whatever was read can be
// written and read again unchanged.
func FuzzReadSafetensors(f *testing.F) {
	var b bytes.Buffer
	if err := WriteSafetensors(&b, everyType(), map[string]string{"k": "v"}); err != nil {
		f.Fatal(err)
	}
	f.Add(b.Bytes())
	f.Add(file(`{"a":{"dtype":"F32","shape":[1,0],"data_offsets":[0,0]}}`, 0))
	f.Fuzz(func(t *testing.T, data []byte) {
		tensors, meta, err := read(data)
		if err != nil {
			return
		}
		var first, second bytes.Buffer
		if err := WriteSafetensors(&first, tensors, meta); err != nil {
			t.Fatal(err)
		}
		tensors, meta, err = read(first.Bytes())
		if err != nil {
			t.Fatal(err)
		}
		if err := WriteSafetensors(&second, tensors, meta); err != nil {
			t.Fatal(err)
		}
		if !bytes.Equal(first.Bytes(), second.Bytes()) {
			t.Error("the second trip changed the bytes")
		}
	})
}
