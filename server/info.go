package server

import (
	"net/http"
	"time"

	"github.com/labstack/echo/v4"
)

// info answers GET /info: the model and the settings it runs with.
func (s *Server) info(c echo.Context, e embedder) error {
	m := e.Metadata()
	now := e.Stats()
	return c.JSON(http.StatusOK, map[string]any{
		"model":       s.config.Name,
		"fingerprint": e.Fingerprint(),
		"dim":         e.Dim(),
		"device":      e.Device().String(),
		"preprocess":  m.Preprocess,
		"training":    m.Training,
		"batching": map[string]any{
			"on": now.Batch > 1, "size": now.Batch, "throughput": now.Throughput, "waiting": now.Waiting, "workers": s.config.Workers,
		},
		"limits": map[string]any{
			"body_bytes": s.config.MaxBody, "images": s.config.MaxItems, "queue": s.config.Queue,
			"deadline_seconds": s.config.Deadline.Seconds(), "body_bytes_per_second": s.config.MinRate,
			"image_side": s.config.Limits.Side, "image_pixels": s.config.Limits.Pixels,
		},
		"index":          s.Items.Describe(e),
		"uptime_seconds": time.Since(s.begun).Seconds(),
		"model_seconds":  time.Since(now.Since).Seconds(),
	})
}
