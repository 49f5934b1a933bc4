package server

import (
	"net/http"
	"runtime/debug"

	"github.com/labstack/echo/v4"

	"vicreg/server/problem"
	"vicreg/server/request"
)

// Names of the model's only input, uint8 [N,S,S,3], and only output, float32 [N,D].
const (
	inputName  = "pixels"
	outputName = "embedding"
)

// inference adds the routes of the Open Inference Protocol, version 2, which KServe and Triton
// speak. They accept pixels as the model sees them, cropped and resized by the client; the model's
// version is its fingerprint.
func (s *Server) inference(e *echo.Echo, work func(func(echo.Context, embedder) error) echo.HandlerFunc) {
	e.GET("/v2", s.inferServer)
	e.GET("/v2/health/live", s.livez)
	e.GET("/v2/health/ready", s.readyz)
	for _, path := range []string{"/v2/models/:model", "/v2/models/:model/versions/:version"} {
		e.GET(path, s.authorize(s.with(s.inferModel)))
		e.GET(path+"/ready", s.authorize(s.with(s.inferReady)))
		e.POST(path+"/infer", s.authorize(work(s.infer)))
	}
}

func (s *Server) inferServer(c echo.Context) error {
	return c.JSON(http.StatusOK, map[string]any{"name": "vicreg", "version": version(), "extensions": []string{"binary_tensor_data"}})
}

// version is this program's version.
func version() string {
	if info, ok := debug.ReadBuildInfo(); ok && info.Main.Version != "" {
		return info.Main.Version
	}
	return "(devel)"
}

// addressed rejects a path that names another model or version.
func (s *Server) addressed(c echo.Context, e embedder) error {
	if err := s.named(e, c.Param("model")); err != nil {
		return err
	}
	if v := c.Param("version"); v != "" && v != e.Fingerprint() {
		return problem.Errorf(problem.NotFound, "version %q: the current model has fingerprint %s", v, e.Fingerprint())
	}
	return nil
}

// tensorSpec describes an input or output; -1 is any size.
type tensorSpec struct {
	Name     string           `json:"name"`
	Datatype string           `json:"datatype"`
	Shape    request.Few[int] `json:"shape"`
}

func (s *Server) inferModel(c echo.Context, e embedder) error {
	if err := s.addressed(c, e); err != nil {
		return err
	}
	return c.JSON(http.StatusOK, map[string]any{
		"name": s.config.Name, "versions": []string{e.Fingerprint()}, "platform": "onnxruntime_onnx",
		"inputs":  []tensorSpec{{inputName, "UINT8", []int{-1, e.Size(), e.Size(), 3}}},
		"outputs": []tensorSpec{{outputName, "FP32", []int{-1, e.Dim()}}},
	})
}

func (s *Server) inferReady(c echo.Context, e embedder) error {
	if err := s.addressed(c, e); err != nil {
		return err
	}
	return c.JSON(http.StatusOK, map[string]any{"name": s.config.Name, "ready": true})
}

// infer answers POST /v2/models/{model}/infer.
func (s *Server) infer(c echo.Context, e embedder) error {
	if err := s.addressed(c, e); err != nil {
		return err
	}
	ask, err := readInfer(c.Request())
	if err != nil {
		return err
	}
	items, err := ask.items(e.Size(), s.config.MaxItems)
	if err != nil {
		return err
	}
	binary, err := ask.wantsBinary()
	if err != nil {
		return err
	}
	r, err := e.EmbedPixels(c.Request().Context(), items)
	s.spent(c, r.Spans, 0)
	if err == nil {
		err = firstBad(r.Rows)
	}
	if err == nil {
		number := bytesInJSON
		if binary {
			number = bytesAsBinary
		}
		err = holdRows(c, len(r.Rows), e.Dim(), number)
	}
	if err != nil {
		return err
	}
	return writeInfer(c, s.config.Name, e, ask.ID, r.Rows, binary)
}
