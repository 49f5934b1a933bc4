package server

import (
	"time"

	"vicreg/pipeline/imaging"
	"vicreg/server/engine"
)

// Config says how requests are handled. Every field must be set: see Defaults.
type Config struct {
	engine.Config
	Name     string        // of the model, for clients that send a model name
	MaxBody  int64         // maximum bytes of a request
	Answers  int64         // memory budget for all answers, in bytes; small answers are not counted
	MinRate  int           // minimum rate of a body, in bytes per second; 0 for none
	MaxItems int           // maximum images per request
	Pause    time.Duration // from the stop signal until connections are no longer accepted
	Drain    time.Duration // for finishing requests in progress when the server stops
	Keys     []string      // API keys at startup; if empty, no key is required
	Hosts    []string      // names by which a proxy in front is reached; without keys, pages served under them may send requests
	Names    []string      // Host names accepted when no key is required; if empty, any

	OwnMetrics bool // metrics have a separate address
}

// Defaults are the settings for a machine with the given number of cores.
func Defaults(cores int) Config {
	return Config{Name: "backbone", MaxBody: 64 << 20, Answers: 256 << 20, MinRate: 1 << 10, MaxItems: 256, Pause: time.Second, Drain: 30 * time.Second,
		Config: engine.Config{Queue: 1024, MaxBatch: 32, Workers: cores, Decoders: cores, Deadline: 30 * time.Second, Cache: 64 << 20,
			Limits: imaging.Limits{Side: 16384, Pixels: 50_000_000}}}
}
