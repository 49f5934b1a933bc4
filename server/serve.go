package server

import (
	"context"
	"crypto/tls"
	"errors"
	"flag"
	"fmt"
	"io"
	"log/slog"
	"net"
	"os"
	"strings"
	"time"

	"vicreg/models/ort"
	"vicreg/pipeline/encoder"
	"vicreg/pipeline/usage"
)

// serveFlags are those of the command.
type serveFlags struct {
	Config
	model, addr, runtime string
	keyFile, cert, key   string
	threads              int
}

func newServeFlags(out io.Writer) (*serveFlags, *flag.FlagSet) {
	fs := usage.Flags(out, usage.Text{
		Name:     "serve",
		Purpose:  "Serve an exported model over HTTP: POST /embed turns images into vectors.",
		Synopsis: "--model FILE [flags]",
		Examples: []string{
			"vicreg serve --model backbone.onnx",
			`curl --data-binary @cat.jpg -H "Content-Type: image/jpeg" http://localhost:8080/embed`,
		},
		Notes: `POST /embed takes an image as the body, several as multipart/form-data, or
JSON {"inputs": [base64 or data URI, ...], "normalize": bool, "encoding_format":
"float" or "base64"}; it answers in JSON, or in rows of float32 for the Accept
application/octet-stream or application/x-npy. GET /info describes the model and
the limits, /livez and /readyz are for probes, /metrics for Prometheus. Logs are
JSON lines on standard error. SIGTERM finishes what is under way, then ends.`,
	})
	cores := ort.Cores()
	f := &serveFlags{Config: Defaults(cores)}
	fs.StringVar(&f.model, "model", "", "exported `FILE`")
	fs.StringVar(&f.addr, "addr", "localhost:8080", "`HOST:PORT` to listen on; :8080 for all interfaces")
	fs.IntVar(&f.threads, "threads", cores, "`N` threads of the runtime")
	fs.IntVar(&f.Decoders, "decoders", f.Decoders, "`N` images decoded at once")
	fs.IntVar(&f.MaxBatch, "max-batch", f.MaxBatch, "`N` images of a batch at the most; the size that pays is measured at the start")
	fs.IntVar(&f.Queue, "queue", f.Queue, "`N` images that may wait or run")
	fs.IntVar(&f.MaxItems, "max-items", f.MaxItems, "`N` images of a request")
	fs.Int64Var(&f.MaxBody, "max-body", f.MaxBody, "`bytes` of a request")
	fs.IntVar(&f.Limits.Pixels, "max-pixels", f.Limits.Pixels, "`N` pixels of an image")
	fs.DurationVar(&f.Deadline, "deadline", f.Deadline, "`time` for a request")
	fs.DurationVar(&f.Drain, "drain", f.Drain, "`time` for what is under way when the server stops")
	fs.StringVar(&f.keyFile, "api-key-file", "", "`FILE` with API keys, one a line, # for comments; requests send Authorization: Bearer KEY")
	fs.StringVar(&f.cert, "tls-cert", "", "`FILE` with the TLS certificate, PEM")
	fs.StringVar(&f.key, "tls-key", "", "`FILE` with its key, PEM")
	fs.StringVar(&f.runtime, "onnxruntime", "", "`FILE` of the ONNX Runtime library; by default VICREG_ONNXRUNTIME, then where scripts/get-onnxruntime.sh puts it")
	return f, fs
}

// validate reports the first flag that cannot work, and reads the API keys.
func (f *serveFlags) validate() error {
	for name, v := range map[string]int{"threads": f.threads, "decoders": f.Decoders, "max-batch": f.MaxBatch,
		"queue": f.Queue, "max-items": f.MaxItems, "max-pixels": f.Limits.Pixels} {
		if v < 1 || v > 1<<30 {
			return usage.Errorf("--%s %d: want 1 to %d", name, v, 1<<30)
		}
	}
	switch {
	case f.MaxBatch > 1024:
		return usage.Errorf("--max-batch %d: want 1 to 1024", f.MaxBatch)
	case f.threads > 4096 || f.Decoders > 4096:
		return usage.Errorf("--threads %d --decoders %d: want at most 4096", f.threads, f.Decoders)
	case f.MaxBody < 1:
		return usage.Errorf("--max-body %d: want 1 or more", f.MaxBody)
	case f.MaxItems > f.Queue:
		return usage.Errorf("--max-items %d: a request of more images than --queue %d never fits", f.MaxItems, f.Queue)
	case f.Deadline < time.Millisecond || f.Drain < 0:
		return usage.Errorf("--deadline %v --drain %v: want times above 0", f.Deadline, f.Drain)
	case (f.cert == "") != (f.key == ""):
		return usage.Errorf("--tls-cert and --tls-key go together")
	case f.keyFile == "":
		return nil
	}
	text, err := os.ReadFile(f.keyFile)
	if err != nil {
		return usage.Errorf("--api-key-file: %w", err)
	}
	for line := range strings.Lines(string(text)) {
		switch line = strings.TrimSpace(line); {
		case line == "" || line[0] == '#':
		case strings.ContainsAny(line, " \t"):
			return usage.Errorf("--api-key-file %s: a key has a space in it", f.keyFile)
		default:
			f.Keys = append(f.Keys, line)
		}
	}
	if len(f.Keys) == 0 {
		return usage.Errorf("--api-key-file %s: there is no key in it", f.keyFile)
	}
	return nil
}

func (f *serveFlags) certificates() (*tls.Config, error) {
	if f.cert == "" {
		return nil, nil
	}
	pair, err := tls.LoadX509KeyPair(f.cert, f.key)
	if err != nil {
		return nil, usage.Errorf("read the TLS certificate: %w", err)
	}
	return &tls.Config{Certificates: []tls.Certificate{pair}, MinVersion: tls.VersionTLS12}, nil
}

// Serve answers requests until ctx ends: vicreg serve.
func Serve(ctx context.Context, args []string, stdout, stderr io.Writer) (err error) {
	f, fs := newServeFlags(stdout)
	if err := usage.Parse(fs, args); err != nil {
		return err
	}
	if err := usage.Require(fs, "model"); err != nil {
		return err
	}
	if err := f.validate(); err != nil {
		return err
	}
	certificates, err := f.certificates()
	if err != nil {
		return err
	}
	listener, err := net.Listen("tcp", f.addr)
	if err != nil {
		return usage.Errorf("--addr %s: %w", f.addr, err)
	}
	defer listener.Close()
	s, closeModel, err := f.open(slog.New(slog.NewJSONHandler(stderr, nil)))
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, closeModel()) }()
	scheme := "http"
	if certificates != nil {
		scheme = "https"
	}
	fmt.Fprintf(stdout, "serving %s, %d numbers an image, batches of up to %d, on %s://%s\n",
		s.enc.Fingerprint(), s.enc.Dim(), s.best, scheme, listener.Addr())
	return s.Run(ctx, listener, certificates)
}

// open loads the model and prepares the server; what it returns closes the model.
func (f *serveFlags) open(log *slog.Logger) (*Server, func() error, error) {
	path, err := ort.Find(f.runtime)
	if err != nil {
		return nil, nil, err
	}
	lib, err := ort.Open(path)
	if err != nil {
		return nil, nil, err
	}
	enc, err := encoder.Open(lib, f.model, ort.Options{Threads: f.threads})
	if err != nil {
		return nil, nil, &usage.Error{Err: err}
	}
	s, err := New(enc, f.Config, log)
	if err != nil {
		return nil, nil, errors.Join(err, enc.Close())
	}
	return s, enc.Close, nil
}
