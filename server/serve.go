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
"float" or "base64"}; it answers in JSON, or in rows of float32 with Accept:
application/octet-stream or application/x-npy. With --index, POST /similar finds
the items most similar to an image, an id or a vector, /items manages them, and / is
a search page. GET /info describes the model and the limits, /docs the whole API,
including the OpenAI-compatible one and the Open Inference Protocol; /livez and
/readyz are for probes, /metrics for Prometheus. Logs are JSON lines on standard
error. On SIGHUP or when FILE changes, the model is reloaded without losing a
request, and so are the API keys; on SIGTERM the server finishes the requests in
progress and exits.`,
	})
	cores := ort.Cores()
	f := &serveFlags{Config: Defaults(cores)}
	fs.StringVar(&f.model, "model", "", "exported model `FILE`")
	f.foreign.Register(fs)
	fs.StringVar(&f.addr, "addr", "localhost:8080", "`HOST:PORT` to listen on; :8080 for all interfaces")
	fs.StringVar(&f.metricsAddr, "metrics-addr", "", "serve /metrics and the probes on this separate `HOST:PORT`; by default /metrics is on --addr")
	fs.StringVar(&f.pprofAddr, "pprof-addr", "", "serve net/http/pprof profiles on this `HOST:PORT`, which must be a local address, such as localhost:6060; profiling slows the server; off by default")
	fs.StringVar(&f.Name, "name", "", "model `NAME`, for clients that send one; by default the file name")
	fs.StringVar(&f.index, "index", "", "similarity index `FILE` for /similar and /items, created if it does not exist; see vicreg index")
	fs.BoolVar(&f.rebuild, "rebuild", false, "if the index belongs to another model, recompute its vectors from the original image files (including TIFF)")
	fs.DurationVar(&f.watch, "watch", 5*time.Second, "check the model and API-key files for changes at this `interval`; 0 means reload only on SIGHUP")
	fs.IntVar(&f.threads, "threads", cores, "`N` ONNX Runtime threads; by default one per core, or the container's limit")
	fs.IntVar(&f.Workers, "workers", 0, "run `N` batches concurrently under load, at most --threads, which is also the default; 1 halves the memory use; always 1 on a CUDA device")
	fs.IntVar(&f.Decoders, "decoders", f.Decoders, "decode `N` images concurrently")
	fs.IntVar(&f.MaxBatch, "max-batch", f.MaxBatch, fmt.Sprintf("largest batch, `N` images, by default %d on a CUDA device; the best size is measured at startup", engine.DeviceBatch))
	fs.IntVar(&f.Queue, "queue", f.Queue, "at most `N` images queued or running")
	fs.IntVar(&f.MaxItems, "max-items", f.MaxItems, "at most `N` images per request")
	fs.Int64Var(&f.MaxBody, "max-body", f.MaxBody, "maximum size of a request body in `bytes`")
	fs.IntVar(&f.Limits.Pixels, "max-pixels", f.Limits.Pixels, "at most `N` pixels per image, also for --rebuild; unless set, also at most 16384 per side")
	fs.DurationVar(&f.Deadline, "deadline", f.Deadline, "maximum `time` per request")
	fs.IntVar(&f.MinRate, "min-rate", f.MinRate, "minimum rate at which a body must arrive after its first 5 s, in `bytes` per second; 0 for no minimum")
	fs.IntVar(&f.cacheMB, "cache-mb", int(f.Cache>>20), "size in `MiB` of the cache of vectors, keyed by image content; 0 disables it")
	fs.DurationVar(&f.Pause, "pause", f.Pause, "`time` to keep accepting connections after SIGTERM, while /readyz already fails")
	fs.DurationVar(&f.Drain, "drain", f.Drain, "`time` allowed for requests in progress to finish on shutdown")
	fs.StringVar(&f.keyFile, "api-key-file", "", "`FILE` of API keys, one per line, # starts a comment line; requests send Authorization: Bearer KEY; reloaded when it changes, checked at the --watch interval, and on SIGHUP")
	fs.StringVar(&f.host, "host", "", "comma-separated host `NAMES`, such as that of a proxy, that browsers may use without an API key: the server accepts them in Host, and in the Origin of pages")
	fs.StringVar(&f.cert, "tls-cert", "", "TLS certificate `FILE` (PEM); reloaded when it changes")
	fs.StringVar(&f.key, "tls-key", "", "private key `FILE` of the TLS certificate (PEM)")
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
		return usage.Errorf("--workers %d: want 1 to %d, the value of --threads", f.Workers, f.threads)
	case f.Workers > 1 && !f.runtime.OnHost():
		return usage.Errorf("--workers %d: a CUDA device runs one batch at a time", f.Workers)
	case f.MaxBody < 1 || f.MaxBody > 1<<40:
		return usage.Errorf("--max-body %d: want 1 to %d", f.MaxBody, int64(1)<<40)
	case f.Queue > 1<<20:
		return usage.Errorf("--queue %d: want at most %d", f.Queue, 1<<20)
	case f.MaxItems > f.Queue:
		return usage.Errorf("--max-items %d: a request with more images than --queue %d could never be accepted", f.MaxItems, f.Queue)
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
		return usage.Errorf("--rebuild requires --index")
	case f.addr == f.metricsAddr:
		return usage.Errorf("--metrics-addr %s is the same as --addr: omit it to serve /metrics there", f.addr)
	case (f.cert == "") != (f.key == ""):
		return usage.Errorf("--tls-cert and --tls-key must be given together")
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
		return l, errors.Join(usage.Errorf("--pprof-addr %s: other machines can reach it: want a local address, such as localhost:6060", f.pprofAddr), l.close())
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
		return usage.Errorf("--name is empty, which clients cannot send; omit the flag to use the file name")
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
		text := fmt.Sprintf("serving %s, %s, batches of up to %d, on %s://%s\n",
			e.Fingerprint(), usage.Count(e.Dim(), "dimension"), e.Stats().Batch, scheme, l.API.Addr())
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
