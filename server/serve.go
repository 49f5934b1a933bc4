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
	"os/signal"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"syscall"
	"time"

	"vicreg/models/ort"
	"vicreg/pipeline/encoder"
	"vicreg/pipeline/usage"
	"vicreg/server/engine"
	"vicreg/server/jsonlog"
)

// serveFlags are the flags of the command.
type serveFlags struct {
	Config
	model, addr              string
	metricsAddr, pprofAddr   string
	keyFile, cert, key, host string
	keyWatch                 watched // of keyFile, from when its keys were read
	runtime                  encoder.RuntimeFlags
	threads, cacheMB         int
	watch                    time.Duration
	foreign                  encoder.Flags
	index                    string
	rebuild                  bool
}

func newServeFlags(out io.Writer) (*serveFlags, *flag.FlagSet) {
	fs := usage.Flags(out, usage.Text{
		Name:     "serve",
		Purpose:  "Serve an exported model over HTTP: POST /embed turns images into vectors, and POST /similar finds images.",
		Synopsis: "--model FILE [flags]",
		Examples: []string{
			"vicreg serve --model backbone.onnx",
			"vicreg serve --model backbone.onnx --index photos.index",
			`curl --data-binary @cat.jpg -H "Content-Type: image/jpeg" http://localhost:8080/embed`,
		},
		Notes: `POST /embed takes an image as the body, several as multipart/form-data, or
JSON {"inputs": [base64 or data URI, ...], "normalize": bool, "encoding_format":
"float" or "base64"}; it answers in JSON, or in rows of float32 for the Accept
application/octet-stream or application/x-npy. With --index, POST /similar finds
the items most like an image, an id or a vector, /items keeps them, and / is a page
to search on. GET /info describes the model and
the limits, /docs the whole API, with that of OpenAI's clients and the Open
Inference Protocol; /livez and /readyz are for probes, /metrics for Prometheus.
Logs are JSON lines on standard error. SIGHUP or a changed FILE loads the model
again without losing a request, and reads the API keys again; SIGTERM finishes what
is under way, then ends.`,
	})
	cores := ort.Cores()
	f := &serveFlags{Config: Defaults(cores)}
	fs.StringVar(&f.model, "model", "", "exported `FILE`")
	f.foreign.Register(fs)
	fs.StringVar(&f.addr, "addr", "localhost:8080", "`HOST:PORT` to listen on; :8080 for all interfaces")
	fs.StringVar(&f.metricsAddr, "metrics-addr", "", "`HOST:PORT` for /metrics and the probes apart; by default /metrics is on --addr")
	fs.StringVar(&f.pprofAddr, "pprof-addr", "", "`HOST:PORT` for the profiles of net/http/pprof, which show what the program does and slow it down: of this machine alone, as localhost:6060; by default there are none")
	fs.StringVar(&f.Name, "name", "", "`NAME` of the model for clients that send one; by default the name of the file")
	fs.StringVar(&f.index, "index", "", "`FILE` of the similarity index for /similar and /items, made when it is not there; vicreg index explains")
	fs.BoolVar(&f.rebuild, "rebuild", false, "with --index: make its vectors anew, from the files that its items came from, TIFF, too, when they are another model's")
	fs.DurationVar(&f.watch, "watch", 5*time.Second, "`time` between looks at the model file and that of the API keys, which are read again when they have changed; 0 for SIGHUP alone")
	fs.IntVar(&f.threads, "threads", cores, "`N` threads of the runtime; by default the cores, or the container's limit")
	fs.IntVar(&f.Workers, "workers", 0, "`N` batches run at once under load, at most --threads and by default as many; 1 halves the memory; always 1 on a CUDA device")
	fs.IntVar(&f.Decoders, "decoders", f.Decoders, "`N` images decoded at once")
	fs.IntVar(&f.MaxBatch, "max-batch", f.MaxBatch, fmt.Sprintf("`N` images of a batch at the most, on a CUDA device %d by default; the size that pays is measured at the start", engine.DeviceBatch))
	fs.IntVar(&f.Queue, "queue", f.Queue, "`N` images that may wait or run")
	fs.IntVar(&f.MaxItems, "max-items", f.MaxItems, "`N` images that a request may have")
	fs.Int64Var(&f.MaxBody, "max-body", f.MaxBody, "`bytes` that a request may have")
	fs.IntVar(&f.Limits.Pixels, "max-pixels", f.Limits.Pixels, "`N` pixels that an image may have, of any shape, also one that --rebuild reads; without the flag 16384 a side, too")
	fs.DurationVar(&f.Deadline, "deadline", f.Deadline, "`time` that a request may take")
	fs.IntVar(&f.MinRate, "min-rate", f.MinRate, "`bytes` a second at which a body must arrive after its first 5 s; 0 for any")
	fs.IntVar(&f.cacheMB, "cache-mb", int(f.Cache>>20), "`N` MiB of vectors that are kept by the content of their images; 0 for none")
	fs.DurationVar(&f.Pause, "pause", f.Pause, "`time` between SIGTERM, when /readyz says no, and the last connection that is taken")
	fs.DurationVar(&f.Drain, "drain", f.Drain, "`time` for what is under way when the server stops")
	fs.StringVar(&f.keyFile, "api-key-file", "", "`FILE` with API keys, one a line, # for comments; requests send Authorization: Bearer KEY; read again when it changes, as --watch has it, and on SIGHUP")
	fs.StringVar(&f.host, "host", "", "`NAMES`, with commas between, by which browsers reach the server through a proxy, where no key is asked for: requests may be for them on localhost, too, and come from their pages")
	fs.StringVar(&f.cert, "tls-cert", "", "`FILE` with the TLS certificate, PEM; read again when it changes")
	fs.StringVar(&f.key, "tls-key", "", "`FILE` with its key, PEM")
	f.runtime.Register(fs)
	return f, fs
}

// validate reports the first invalid flag, and reads the API keys.
func (f *serveFlags) validate() error {
	for _, n := range []struct {
		name string
		v    int
	}{{"threads", f.threads}, {"decoders", f.Decoders}, {"max-batch", f.MaxBatch}, {"queue", f.Queue}, {"max-items", f.MaxItems}, {"max-pixels", f.Limits.Pixels}} {
		if n.v < 1 || n.v > 1<<30 {
			return usage.Errorf("--%s %d: want 1 to %d", n.name, n.v, 1<<30)
		}
	}
	if err := f.checkAddresses(); err != nil {
		return err
	}
	switch {
	case f.MaxBatch > 1024:
		return usage.Errorf("--max-batch %d: want 1 to 1024", f.MaxBatch)
	case f.threads > 4096:
		return usage.Errorf("--threads %d: want at most 4096", f.threads)
	case f.Decoders > 4096:
		return usage.Errorf("--decoders %d: want at most 4096", f.Decoders)
	case f.Workers < 0 || f.Workers > f.threads:
		return usage.Errorf("--workers %d: want 1 to the %d of --threads", f.Workers, f.threads)
	case f.Workers > 1 && !f.runtime.OnHost():
		return usage.Errorf("--workers %d: a CUDA device runs one batch at a time", f.Workers)
	case f.MaxBody < 1 || f.MaxBody > 1<<40:
		return usage.Errorf("--max-body %d: want 1 to %d", f.MaxBody, int64(1)<<40)
	case f.Queue > 1<<20:
		return usage.Errorf("--queue %d: want at most %d", f.Queue, 1<<20)
	case f.MaxItems > f.Queue:
		return usage.Errorf("--max-items %d: a request of more images than --queue %d never fits", f.MaxItems, f.Queue)
	case f.Deadline < time.Millisecond:
		return usage.Errorf("--deadline %v: want 1ms or more", f.Deadline)
	case f.Drain < time.Millisecond: // with no time at all, requests in progress could not finish cleanly
		return usage.Errorf("--drain %v: want 1ms or more", f.Drain)
	case f.Pause < 0:
		return usage.Errorf("--pause %v: want 0s or more", f.Pause)
	case f.watch < 0:
		return usage.Errorf("--watch %v: want 0s or more", f.watch)
	case f.MinRate < 0:
		return usage.Errorf("--min-rate %d: want 0 or more", f.MinRate)
	case f.cacheMB < 0 || f.cacheMB > 1<<20:
		return usage.Errorf("--cache-mb %d: want 0 to %d", f.cacheMB, 1<<20)
	case f.rebuild && f.index == "":
		return usage.Errorf("--rebuild goes with --index")
	case f.addr == f.metricsAddr:
		return usage.Errorf("--metrics-addr %s is --addr: leave it out to have /metrics there", f.addr)
	case (f.cert == "") != (f.key == ""):
		return usage.Errorf("--tls-cert and --tls-key go together")
	}
	f.Cache = int64(f.cacheMB) << 20
	if f.Workers == 0 {
		f.Workers = f.threads
	}
	if f.Name == "" {
		f.Name = strings.TrimSuffix(filepath.Base(f.model), ".onnx")
	}
	err := f.readHosts()
	if err != nil || f.keyFile == "" {
		return err
	}
	f.keyWatch = watch(f.keyFile)
	f.Keys, err = usage.Keys(f.keyFile)
	return err
}

// certificates returns the TLS configuration, nil without a certificate.
func (f *serveFlags) certificates(log *slog.Logger) (*tls.Config, error) {
	if f.cert == "" {
		return nil, nil
	}
	c, err := newCertificate(f.cert, f.key, log)
	if err != nil {
		return nil, &usage.Error{Err: err}
	}
	return &tls.Config{GetCertificate: c.get, MinVersion: tls.VersionTLS12}, nil
}

// listen opens the listeners.
func (f *serveFlags) listen(log *slog.Logger) (l Listeners, err error) {
	if l.TLS, err = f.certificates(log); err != nil {
		return l, err
	}
	if l.API, err = net.Listen("tcp", f.addr); err != nil {
		return l, usage.Errorf("--addr %s: %w", f.addr, err)
	}
	if f.metricsAddr != "" {
		if l.Metrics, err = net.Listen("tcp", f.metricsAddr); err != nil {
			return l, errors.Join(usage.Errorf("--metrics-addr %s: %w", f.metricsAddr, err), l.close())
		}
	}
	if f.pprofAddr == "" {
		return l, nil
	}
	if l.Profiles, err = net.Listen("tcp", f.pprofAddr); err != nil {
		return l, errors.Join(usage.Errorf("--pprof-addr %s: %w", f.pprofAddr, err), l.close())
	}
	if !loopback(l.Profiles.Addr()) {
		return l, errors.Join(usage.Errorf("--pprof-addr %s: others reach it: want an address of this machine alone, as localhost:6060", f.pprofAddr), l.close())
	}
	return l, nil
}

// Serve implements the command vicreg serve: it answers requests until ctx ends.
func Serve(ctx context.Context, args []string, stdout, stderr io.Writer) (err error) {
	f, fs := newServeFlags(stdout)
	if err := usage.Parse(fs, args); err != nil {
		return err
	}
	if err := usage.Require(fs, "model"); err != nil {
		return err
	}
	if f.Name == "" && usage.Given(fs, "name") {
		return usage.Errorf("--name: it is empty, and clients could not send it; leave the flag out for the name of the file")
	}
	f.suit(func(name string) bool { return usage.Given(fs, name) })
	if err := errors.Join(f.validate(), f.foreign.Validate()); err != nil {
		return err
	}
	lib, err := f.runtime.Open()
	if err != nil {
		return err
	}
	log, written := jsonlog.New(stderr)
	defer written()
	l, err := f.listen(log)
	if err != nil {
		return err
	}
	f.OwnMetrics, f.Names = l.Metrics != nil, f.known(l.API.Addr())
	defer runtime.KeepAlive(ballast())
	s := New(func() (*encoder.Encoder, error) {
		enc, err := f.foreign.Open(lib, f.model, f.wide(), f.more()...)
		if err != nil {
			return nil, &usage.Error{Err: err}
		}
		return enc, nil
	}, f.Config, log)
	if l.TLS != nil {
		s.metrics.expires(l.TLS.GetCertificate)
	}
	if f.index != "" {
		s.Items.Keep(f.index, f.rebuild)
	}
	return f.run(ctx, s, l, stdout)
}

// ballast is memory that is never written, so it takes no physical memory, but it counts towards
// the heap size that paces the garbage collector. The rest of the heap is so small that under load
// the collector would run dozens of times a second and delay answers.
func ballast() []byte { return make([]byte, 64<<20) }

// run serves, and reloads the model on SIGHUP or when its file changes.
func (f *serveFlags) run(ctx context.Context, s *Server, l Listeners, stdout io.Writer) error {
	again := make(chan os.Signal, 1)
	signal.Notify(again, syscall.SIGHUP)
	defer signal.Stop(again)
	ctx, cancel := context.WithCancel(ctx)
	var reloads sync.WaitGroup
	defer reloads.Wait()
	defer cancel()
	if f.keyFile != "" {
		keysToo := make(chan os.Signal, 1) // a separate channel: keys must not wait for a model that is loading
		signal.Notify(keysToo, syscall.SIGHUP)
		defer signal.Stop(keysToo)
		w := &keyWatcher{s, f.keyWatch}
		reloads.Go(func() { w.run(ctx, looks{keysToo, f.watch}) })
	}
	watcher := s.Watch(f.model)
	scheme := "http"
	if l.TLS != nil {
		scheme = "https"
	}
	said, ready := make(chan struct{}), false
	err := s.Run(ctx, l, func() {
		reloads.Go(func() { watcher.Run(ctx, again, f.watch) })
		e := s.current()
		text := fmt.Sprintf("serving %s, %d numbers an image, batches of up to %d, on %s://%s\n",
			e.Fingerprint(), e.Dim(), e.Stats().Batch, scheme, l.API.Addr())
		ready = true
		go func() { // the reader of stdout may stall
			defer close(said)
			io.WriteString(stdout, text)
		}()
	})
	if ready {
		select {
		case <-said:
		case <-time.After(jsonlog.LastWrite):
		}
	}
	return err
}
