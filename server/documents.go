package server

import (
	"bytes"
	"compress/gzip"
	"crypto/sha256"
	_ "embed"
	"encoding/hex"
	"encoding/json"
	"io"
	"net/http"
	"path"
	"strings"

	"github.com/labstack/echo/v4"
	"github.com/swaggest/swgui/v5/static"
)

// The API's description and the page that displays it. They contain no secrets and need no key. All
// URLs in them are relative, for proxies that add a path prefix.
var (
	//go:embed openapi.json
	apiDocument []byte
	//go:embed docs.html
	docsPage []byte
	//go:embed docs.js
	docsScript []byte
)

// docsPolicy keeps the page from contacting any other host. Swagger UI needs inline styles.
const docsPolicy = "default-src 'none'; script-src 'self'; style-src 'self' 'unsafe-inline'; img-src 'self' data:; connect-src 'self'; " +
	"base-uri 'none'; form-action 'none'; frame-ancestors 'none'"

// documents adds the routes of the API's description.
func (s *Server) documents(e *echo.Echo) {
	document := stamped(apiDocument, version())
	e.GET("/openapi.json", func(c echo.Context) error { return keep(c, echo.MIMEApplicationJSON, document) })
	e.GET("/docs", func(c echo.Context) error {
		c.Response().Header().Set(echo.HeaderContentSecurityPolicy, docsPolicy)
		return keep(c, echo.MIMETextHTMLCharsetUTF8, docsPage)
	})
	e.GET("/docs/:asset", docsAsset)
}

// stamped is the document with this program's version filled in.
func stamped(document []byte, version string) []byte {
	text, _ := json.Marshal(version)
	return bytes.Replace(document, []byte(`"version": "0.0.0"`), append([]byte(`"version": `), text...), 1)
}

// docsAsset answers with a file of Swagger UI, or with the script that starts it.
func docsAsset(c echo.Context) error {
	name := c.Param("asset")
	kind := map[string]string{".js": "text/javascript", ".css": "text/css", ".png": "image/png"}[path.Ext(name)]
	if kind == "" {
		return echo.ErrNotFound
	}
	if name == "docs.js" {
		return keep(c, kind, docsScript)
	}
	if file, err := static.FS.ReadFile(name); err == nil {
		return keep(c, kind, file)
	}
	file, err := static.FS.ReadFile(name + ".gz")
	if err != nil {
		return echo.ErrNotFound
	}
	c.Response().Header().Set(echo.HeaderVary, echo.HeaderAcceptEncoding)
	if strings.Contains(c.Request().Header.Get(echo.HeaderAcceptEncoding), "gzip") {
		c.Response().Header().Set(echo.HeaderContentEncoding, "gzip")
	} else if file, err = unpacked(file); err != nil {
		return err
	}
	return keep(c, kind, file)
}

func unpacked(file []byte) ([]byte, error) {
	r, err := gzip.NewReader(bytes.NewReader(file))
	if err != nil {
		return nil, err
	}
	return io.ReadAll(r)
}

// keep answers with a file that clients may cache, with an ETag for revalidation.
func keep(c echo.Context, kind string, file []byte) error {
	sum := sha256.Sum256(file)
	tag := `"` + hex.EncodeToString(sum[:8]) + `"`
	h := c.Response().Header()
	h.Set("ETag", tag)
	h.Set(echo.HeaderCacheControl, "no-cache") // meaning: revalidate before use
	if strings.Contains(c.Request().Header.Get("If-None-Match"), tag) {
		return c.NoContent(http.StatusNotModified)
	}
	return c.Blob(http.StatusOK, kind, file)
}
