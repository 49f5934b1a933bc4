package server

import (
	"time"

	"vicreg/pipeline/imaging"
	"vicreg/server/engine"
)

// Config says how requests are taken. Every field must be set: see Defaults.
type Config struct {
	engine.Config
	Name     string        // of the model, for clients that send one
	MaxBody  int64         // bytes of a request
	Answers  int64         // bytes of all answers in memory, beyond small ones
	MinRate  int           // bytes a second at which a body must arrive; 0 for any
	MaxItems int           // images of a request
	Pause    time.Duration // from the signal to stop until no connection is taken any more
	Drain    time.Duration // for what is under way when the server stops
	Keys     []string      // API keys at the start; none means that no key is asked for
	Hosts    []string      // names for a proxy in front; without keys, pages of theirs may send requests
	Names    []string      // that requests may be for where no key is asked for; none means any

	OwnMetrics bool // metrics have an address of their own
}

// Defaults are the settings for a machine with so many cores.
func Defaults(cores int) Config {
	return Config{Name: "backbone", MaxBody: 64 << 20, Answers: 256 << 20, MinRate: 1 << 10, MaxItems: 256, Pause: time.Second, Drain: 30 * time.Second,
		Config: engine.Config{Queue: 1024, MaxBatch: 32, Workers: cores, Decoders: cores, Deadline: 30 * time.Second, Cache: 64 << 20,
			Limits: imaging.Limits{Side: 16384, Pixels: 50_000_000}}}
}
