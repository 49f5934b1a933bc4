package engine

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"golang.org/x/sync/semaphore"

	"vicreg/pipeline/encoder"
	"vicreg/pipeline/imaging"
	"vicreg/server/batch"
)

// Config says how images are processed. Every field must be set.
type Config struct {
	Queue    int            // maximum images waiting or running
	MaxBatch int            // maximum images per batch
	Workers  int            // concurrent batches under load
	Decoders int            // concurrent image decoders
	Deadline time.Duration  // from the first byte of a request to its answer
	Cache    int64          // bytes of the vector cache; 0 for none
	Limits   imaging.Limits // limits of an image
}

// Shared is the state that survives when one engine replaces another.
type Shared struct {
	config Config
	log    *slog.Logger
	pixels *semaphore.Weighted // pixels of images being decoded
	cache  *cache
	counts *counts
}

// imagesAtOnce is how many images of the maximum size may be in memory.
const imagesAtOnce = 2

// NewShared creates the state that engines share and registers its metrics.
func NewShared(config Config, log *slog.Logger, to prometheus.Registerer) *Shared {
	return &Shared{config: config, log: log, pixels: semaphore.NewWeighted(int64(imagesAtOnce * config.Limits.Pixels)),
		cache: newCache(config.Cache), counts: newCounts(to)}
}

// Start puts a model into service: it measures which batch size pays, which takes about a second,
// and embeds the canary. The engine owns the encoder from here on, even after an error.
func (s *Shared) Start(enc *encoder.Encoder) (*Engine, error) {
	rows, err := newRows(enc, s.config)
	if err != nil {
		return nil, errors.Join(err, enc.Close())
	}
	e := &Engine{Encoder: enc, narrow: enc.On(1), shapes: shapesOf(enc.Device(), s.config.MaxBatch), rows: rows,
		shared: s, since: time.Now()}
	if e.shapes != nil {
		e.narrow = enc
	}
	e.lone = e.narrow
	enc.Limits = s.config.Limits
	if err := e.learn(); err != nil {
		return nil, errors.Join(fmt.Errorf("measure the model: %w", err), enc.Close())
	}
	e.batcher = batch.New(e.encode, batch.Config{Workers: s.config.Workers, Max: s.config.MaxBatch, Queue: s.config.Queue,
		Limit: s.config.Deadline, Sizes: e.shapes, Learnt: e.sizes, Panicked: s.counts.panics.Inc})
	e.pool = newPool(enc, s.config.Decoders, s.pixels)
	if err := e.canary.begin(e, s.log); err != nil {
		return nil, errors.Join(fmt.Errorf("embed the first image: %w", err), e.Close(context.Background()))
	}
	return e, nil
}
