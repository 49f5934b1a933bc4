package server

import (
	"encoding/base64"
	"encoding/json"
	"io"
	"net/http"

	"github.com/labstack/echo/v4"

	"vicreg/pipeline/vectors"
	"vicreg/server/engine"
	"vicreg/server/problem"
	"vicreg/server/request"
)

// openAI adds the routes of OpenAI's embeddings API, so that its clients work unchanged: images are
// sent in input, as base64 or data URIs.
func (s *Server) openAI(e *echo.Echo, work func(func(echo.Context, embedder) error) echo.HandlerFunc) {
	e.POST("/v1/embeddings", s.permit(work(s.openAIEmbeddings), "api-version")) // sent by Azure clients
	e.GET("/v1/models", s.authorize(s.with(s.openAIModels)))
	e.GET("/v1/models/:model", s.authorize(s.with(s.openAIModel)))
}

// openAIEmbedding is one vector of an answer.
type openAIEmbedding struct {
	Object    string `json:"object"`
	Index     int    `json:"index"`
	Embedding any    `json:"embedding"` // numbers, or base64 of little-endian float32
}

// openAIEmbeddings answers POST /v1/embeddings. The answer's format has no place for the error of a
// single image, so the first bad image fails the whole request.
func (s *Server) openAIEmbeddings(c echo.Context, e embedder) error {
	in, err := s.readOpenAI(c.Request().Body, e)
	if err != nil {
		return err
	}
	rows, err := s.wanted(c, e, in, inJSON(in.base64))
	if err == nil {
		err = firstBad(rows)
	}
	if err != nil {
		return err
	}
	return c.JSON(http.StatusOK, map[string]any{
		"object": "list", "model": s.config.Name, "data": openAIData(rows, in.base64),
		"usage": map[string]int{"prompt_tokens": 0, "total_tokens": 0}, // images have no tokens
	})
}

// readOpenAI reads {"input": string or list, "model": ..., "encoding_format": ...} as well as
// "normalize" and "center", which OpenAI lacks: its vectors always have unit length. Like OpenAI,
// it rejects unknown fields, since a client that sends one expects it to have an effect. "user" has
// none at OpenAI either.
func (s *Server) readOpenAI(body io.Reader, e embedder) (*input, error) {
	ask := struct {
		Input request.Texts   `json:"input"`
		Model string          `json:"model"`
		User  json.RawMessage `json:"user"`
		embedFields
	}{Input: request.Texts{Most: s.config.MaxItems, Lone: true}}
	d := json.NewDecoder(body)
	d.DisallowUnknownFields()
	if err := request.DecodeOne(d, &ask); err != nil {
		return nil, err
	}
	if n := ask.Dimensions; n != nil && *n == e.Dim() { // the size that the vectors have anyway
		ask.Dimensions = nil
	}
	if err := s.named(e, ask.Model); err != nil {
		return nil, err
	}
	in := &input{}
	if err := s.takeTexts(in, &ask.Input, ask.embedFields); err != nil {
		return nil, err
	}
	if len(in.images) == 0 {
		return nil, problem.Errorf(problem.BadRequest, "input: contains no image")
	}
	return in, nil
}

func openAIData(rows []engine.Outcome, packed bool) []openAIEmbedding {
	data := make([]openAIEmbedding, len(rows))
	for i, r := range rows {
		data[i] = openAIEmbedding{"embedding", i, r.Vector}
		if packed {
			data[i].Embedding = base64.StdEncoding.EncodeToString(vectors.Append(nil, r.Vector))
		}
	}
	return data
}

// named rejects any model name other than that of the model in service or its fingerprint.
func (s *Server) named(e embedder, name string) error {
	if name == s.config.Name || name == e.Fingerprint() {
		return nil
	}
	return problem.Errorf(problem.NotFound, "model %q: this server has %q, fingerprint %s", name, s.config.Name, e.Fingerprint())
}

func (s *Server) openAIModels(c echo.Context, e embedder) error {
	return c.JSON(http.StatusOK, map[string]any{"object": "list", "data": []any{s.openAICard(e)}})
}

func (s *Server) openAIModel(c echo.Context, e embedder) error {
	if err := s.named(e, c.Param("model")); err != nil {
		return err
	}
	return c.JSON(http.StatusOK, s.openAICard(e))
}

func (s *Server) openAICard(e embedder) map[string]any {
	return map[string]any{"id": s.config.Name, "object": "model", "created": e.Stats().Since.Unix(), "owned_by": "vicreg"}
}
