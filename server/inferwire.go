package server

import (
	"bytes"
	"encoding/json"
	"mime"
	"net/http"
	"slices"
	"strconv"

	"github.com/labstack/echo/v4"

	"vicreg/pipeline/vectors"
	"vicreg/server/engine"
	"vicreg/server/problem"
	"vicreg/server/request"
)

// headerLength gives the length of the body's JSON part in bytes; raw tensors follow it.
const headerLength = "Inference-Header-Content-Length"

// inferAsk is a request of the Open Inference Protocol.
type inferAsk struct {
	ID         string          `json:"id"`
	Parameters inferOptions    `json:"parameters"`
	Inputs     [2]*inferTensor `json:"inputs"` // the second only to be rejected; further ones are ignored
	Outputs    request.Few[struct {
		Name       string       `json:"name"`
		Parameters inferOptions `json:"parameters"`
	}] `json:"outputs"`
	raw []byte // what follows the JSON in the body
}

// inferOptions are the protocol's parameters that are supported here.
type inferOptions struct {
	BinarySize *int  `json:"binary_data_size,omitempty"`   // of an input
	Binary     *bool `json:"binary_data,omitempty"`        // of an output
	AllBinary  bool  `json:"binary_data_output,omitempty"` // of a request
}

type inferTensor struct {
	tensorSpec
	Parameters inferOptions    `json:"parameters"`
	Data       json.RawMessage `json:"data"` // numbers, flat or nested
}

// readInfer parses a request body.
func readInfer(r *http.Request) (*inferAsk, error) {
	switch kind, _, _ := mime.ParseMediaType(r.Header.Get(echo.HeaderContentType)); kind {
	case "", "application/json", "application/octet-stream":
	default:
		return nil, problem.Errorf(problem.BadMediaType, "%s: send application/json, or application/octet-stream with %s", kind, headerLength)
	}
	body, err := request.Whole(r)
	if err != nil {
		return nil, err
	}
	ask := &inferAsk{}
	if text := r.Header.Get(headerLength); text != "" {
		n, err := strconv.Atoi(text)
		if err != nil || n < 0 || n > len(body) {
			return nil, problem.Errorf(problem.BadRequest, "%s %q: want 0 to the %d bytes of the body", headerLength, text, len(body))
		}
		body, ask.raw = body[:n], body[n:]
	}
	if err := json.Unmarshal(body, ask); err != nil {
		return nil, request.BadJSON(err)
	}
	return ask, nil
}

// items returns the images of a request, uint8 [S,S,3] each; if they were sent raw, they are slices
// of the body.
func (a *inferAsk) items(side, most int) ([][]uint8, error) {
	if a.Inputs[0] == nil || a.Inputs[1] != nil || a.Inputs[0].Name != inputName {
		return nil, problem.Errorf(problem.BadRequest, "want one input, %s", inputName)
	}
	in := a.Inputs[0]
	if in.Datatype != "UINT8" || len(in.Shape) != 4 || in.Shape[0] < 1 || !slices.Equal(in.Shape[1:], request.Few[int]{side, side, 3}) {
		return nil, problem.Errorf(problem.BadRequest, "input %s is %s %v: want UINT8 [n %d %d 3]", inputName, in.Datatype, in.Shape, side, side)
	}
	n, size := in.Shape[0], 3*side*side
	if n > most {
		return nil, problem.Errorf(problem.TooLarge, "more than %d images in one request", most)
	}
	var data []uint8
	var err error
	switch {
	case in.Parameters.BinarySize == nil:
		data, err = fromNumbers(in.Data, n*size)
	case *in.Parameters.BinarySize != len(a.raw):
		err = problem.Errorf(problem.BadRequest, "input %s: binary_data_size is %d, but %d bytes follow the JSON", inputName, *in.Parameters.BinarySize, len(a.raw))
	default:
		data = a.raw
	}
	if err == nil && len(data) != n*size {
		err = problem.Errorf(problem.BadRequest, "input %s has %d numbers, but its shape %v has %d", inputName, len(data), in.Shape, n*size)
	}
	if err != nil {
		return nil, err
	}
	return slices.Collect(slices.Chunk(data, size)), nil
}

// fromNumbers reads integers from 0 to 255 out of valid JSON, however nested; more than most of
// them are an error.
func fromNumbers(data json.RawMessage, most int) ([]uint8, error) {
	out := make([]uint8, 0, min(most, len(data)/2+1))
	for rest := data; ; {
		rest = bytes.TrimLeft(rest, " \t\r\n[],")
		if len(rest) == 0 {
			return out, nil
		}
		end := bytes.IndexAny(rest, " \t\r\n[],")
		if end < 0 {
			end = len(rest)
		}
		v, err := strconv.ParseUint(string(rest[:end]), 10, 8)
		if err != nil {
			return nil, problem.Errorf(problem.BadRequest, "input %s: %.20q is not a whole number from 0 to 255", inputName, rest[:end])
		}
		if len(out) == most {
			return nil, problem.Errorf(problem.BadRequest, "input %s has more than the %d numbers of its shape", inputName, most)
		}
		out, rest = append(out, uint8(v)), rest[end:]
	}
}

// wantsBinary reports whether the output is to be sent raw.
func (a *inferAsk) wantsBinary() (bool, error) {
	binary := a.Parameters.AllBinary
	for _, o := range a.Outputs {
		if o.Name != outputName {
			return false, problem.Errorf(problem.BadRequest, "output %q: the model has only one output, %s", o.Name, outputName)
		}
		if o.Parameters.Binary != nil {
			binary = *o.Parameters.Binary
		}
	}
	return binary, nil
}

// inferAnswer is an answer in the protocol's format.
type inferAnswer struct {
	Model   string        `json:"model_name"`
	Version string        `json:"model_version"`
	ID      string        `json:"id,omitempty"`
	Outputs []inferOutput `json:"outputs"`
}

type inferOutput struct {
	tensorSpec
	Parameters *inferOptions `json:"parameters,omitempty"`
	Data       []float32     `json:"data,omitempty"`
}

func writeInfer(c echo.Context, name string, e embedder, id string, rows []engine.Outcome, binary bool) error {
	out := inferOutput{tensorSpec: tensorSpec{outputName, "FP32", []int{len(rows), e.Dim()}}}
	var raw []byte
	for _, r := range rows {
		if binary {
			raw = vectors.Append(raw, r.Vector)
		} else {
			out.Data = append(out.Data, r.Vector...)
		}
	}
	if binary {
		size := len(raw)
		out.Parameters = &inferOptions{BinarySize: &size}
	}
	head, err := json.Marshal(inferAnswer{name, e.Fingerprint(), id, []inferOutput{out}})
	if err != nil {
		return err
	}
	if !binary {
		return c.Blob(http.StatusOK, echo.MIMEApplicationJSON, head)
	}
	c.Response().Header().Set(headerLength, strconv.Itoa(len(head)))
	return c.Blob(http.StatusOK, echo.MIMEOctetStream, append(head, raw...))
}
