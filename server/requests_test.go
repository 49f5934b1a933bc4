package server

import (
	"bytes"
	"encoding/base64"
	"errors"
	"fmt"
	"image"
	"image/gif"
	"image/jpeg"
	"maps"
	"slices"
	"strconv"
	"strings"
	"testing"

	"vicreg/server/servertest"
)

// requests are calls of every route, both valid and with every kind of mistake.
func requests(t *testing.T, s *Server) (all []call) {
	add := func(status int, route, path string, body []byte, headers ...string) {
		all = append(all, call{route, path, body, headers, status})
	}
	for _, route := range slices.Sorted(maps.Keys(contractOf(t).operations())) {
		method, path, _ := strings.Cut(route, " ")
		path = strings.NewReplacer("{model}", "backbone", "{version}", s.current().Fingerprint(), "docs/{asset}", "docs/docs.js", "page/{asset}", "page/main.js", "{id}", "a").Replace(path)
		if method == "GET" || method == "HEAD" {
			add(200, route, path, nil, "traceparent", "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01")
		}
	}
	embedRequests(t, add)
	similarRequests(t, s, add)
	itemRequests(t, s, add)
	openAIRequests(t, add)
	inferRequests(s.current().Fingerprint(), add)
	add(404, "GET /v1/models/{model}", "/v1/models/other", nil)
	for _, more := range []string{"", "/ready"} {
		add(404, "GET /v2/models/{model}"+more, "/v2/models/other"+more, nil)
		add(404, "GET /v2/models/{model}/versions/{version}"+more, "/v2/models/backbone/versions/1"+more, nil)
	}
	add(200, "GET /metrics", "/metrics", nil, "Accept", "application/vnd.google.protobuf;proto=io.prometheus.client.MetricFamily;encoding=delimited")
	for _, asset := range []string{"swagger-ui.css", "favicon-32x32.png"} {
		add(200, "GET /docs/{asset}", "/docs/"+asset, nil)
	}
	for _, asset := range []string{"page.css", "icon.svg"} {
		add(200, "GET /page/{asset}", "/page/"+asset, nil)
	}
	add(404, "GET /docs/{asset}", "/docs/nothing.css", nil)
	add(404, "GET /page/{asset}", "/page/page.html", nil)
	for route, path := range map[string]string{"/docs": "/docs", "/openapi.json": "/openapi.json", "/docs/{asset}": "/docs/docs.js", "/": "/", "/page/{asset}": "/page/page.css"} {
		add(304, "GET "+route, path, nil, "If-None-Match", ask(s, "GET", path, nil).Header().Get("ETag"))
	}
	return all
}

func embedRequests(t *testing.T, add func(int, string, string, []byte, ...string)) {
	const route, path = "POST /embed", "/embed"
	picture := image.NewGray(image.Rect(0, 0, 20, 20))
	var asJPEG, asGIF bytes.Buffer
	if err := errors.Join(jpeg.Encode(&asJPEG, picture, nil), gif.Encode(&asGIF, picture, nil)); err != nil {
		t.Fatal(err)
	}
	good, json := servertest.Photo(t, 0), []string{"Content-Type", "application/json"}
	add(200, route, path, asJPEG.Bytes(), "Content-Type", "image/jpeg")
	add(200, route, path, asGIF.Bytes(), "Content-Type", "image/gif")
	for _, kind := range []string{"image/png", "image/webp", "application/octet-stream"} { // the format is detected from the content
		add(200, route, path+"?normalize=true", good, "Content-Type", kind, "X-Request-Id", "1")
	}
	parts, kind := form(t, good, good)
	add(200, route, path+"?encoding_format=base64", parts, "Content-Type", kind)
	add(200, route, path, inputs(good, []byte("no image")), json...)
	add(200, route, path, []byte(`{"inputs": ["`+base64.StdEncoding.EncodeToString(good)+`"], "encoding_format": "base64", "normalize": true}`), json...)
	for _, form := range forms[1:] {
		add(200, route, path, good, "Content-Type", "image/png", "Accept", form)
	}
	add(400, route, path, []byte(`{"inputs": [`), json...)
	add(406, route, path, good, "Content-Type", "image/png", "Accept", "text/html")
	add(413, route, path, inputs(good, good, good, good), json...)
	add(415, route, path, good, "Content-Type", "text/plain")
	add(422, route, path, []byte("no image"), "Content-Type", "image/png")
}

func similarRequests(t *testing.T, s *Server, add func(int, string, string, []byte, ...string)) {
	const route, path = "POST /similar", "/similar"
	good, json := servertest.Photo(t, 0), []string{"Content-Type", "application/json"}
	for _, kind := range []string{"image/jpeg", "image/png", "image/webp", "image/gif", "application/octet-stream"} {
		add(200, route, path+"?k=3&threshold=-0.5&with_metadata=false&namespace=default&filter=%7B%7D", good, "Content-Type", kind)
	}
	parts, kind := form(t, good, []byte("no image"))
	add(200, route, path, parts, "Content-Type", kind)
	add(200, route, path, inputs(good, []byte("no image")), json...)
	add(200, route, path, []byte(`{"id": "a", "k": 3, "filter": {"label": {"$ne": "x"}}, "threshold": -1, "with_metadata": true, "namespace": "default"}`), json...)
	add(200, route, path, []byte(`{"ids": ["a", "unknown"], "exclude": ["b", "unknown"]}`), json...)
	add(200, route, path+"?exclude=%5B%22b%22%5D", []byte(`{"id": "a"}`), json...)
	add(200, route, path+"?namespace=none", []byte(`{"vector": `+unit(s, 0)+`}`), json...) // the answer has a note
	add(200, route, path, []byte(`{"vector": `+unit(s, 0)+`}`), json...)
	add(200, route, path, []byte(`{"vectors": [`+unit(s, 0)+`]}`), json...)
	add(400, route, path, []byte(`{"vector": [1]}`), json...)
	add(404, route, path, []byte(`{"id": "unknown"}`), json...)
	add(413, route, path, inputs(good, good, good, good), json...)
	add(415, route, path, good, "Content-Type", "text/plain")
	add(422, route, path, []byte("no image"), "Content-Type", "image/png")
}

func itemRequests(t *testing.T, s *Server, add func(int, string, string, []byte, ...string)) {
	const one, many, path = "/items/{id}", "/items", "/items/b%2Fc%20d.png"
	good, json := servertest.Photo(t, 0), []string{"Content-Type", "application/json"}
	for i, kind := range []string{"image/jpeg", "image/png", "image/webp", "image/gif", "application/octet-stream"} {
		add(map[bool]int{true: 201, false: 200}[i == 0], "PUT "+one, path+"?metadata=%7B%22label%22:%22x%22%7D&source=x&namespace=default", good, "Content-Type", kind)
	}
	parts, kind := form(t, good)
	add(200, "PUT "+one, path, parts, "Content-Type", kind)
	add(200, "PUT "+one, path, []byte(`{"vector": `+unit(s, 0)+`, "metadata": {}, "source": "x", "namespace": "default", "sha256": "`+strings.Repeat("a", 64)+`"}`), json...)
	add(200, "GET "+one, path+"?with_vector=true&namespace=default", nil)
	add(204, "DELETE "+one, path, nil)
	add(400, "PUT "+one, path, []byte(`{}`), json...)
	add(413, "PUT "+one, path, bytes.Repeat([]byte("x"), 64<<20+1), "Content-Type", "image/png")
	add(415, "PUT "+one, path, good, "Content-Type", "text/plain")
	add(422, "PUT "+one, path, []byte("no image"), "Content-Type", "image/png")
	for _, route := range []string{"GET " + one, "DELETE " + one, "GET " + one + "/thumbnail"} {
		end := strings.TrimPrefix(route[strings.Index(route, "/"):], one)
		add(400, route, "/items/%00"+end, nil)
		add(404, route, "/items/unknown"+end, nil)
	}
	add(304, "GET "+one+"/thumbnail", "/items/a/thumbnail", nil, "If-None-Match", ask(s, "GET", "/items/a/thumbnail", nil).Header().Get("ETag"))
	add(200, "POST "+many, many, parts, "Content-Type", kind)
	add(200, "POST "+many, many+"?namespace=n", []byte(`{"items": [{"id": "e", "vector": `+unit(s, 0)+`}, {"id": "f", "image": "YQ==", "metadata": {}}]}`), json...)
	add(400, "POST "+many, many, []byte(`{"items": []}`), json...)
	add(413, "POST "+many, many, []byte(`{"items": [{}, {}, {}, {}]}`), json...)
	add(415, "POST "+many, many, good, "Content-Type", "image/png")
	add(200, "GET "+many, many+"?namespace=default&limit=1&after=0&filter=%7B%22label%22:%22x%22%7D", nil)
	add(400, "GET "+many, many+"?limit=0", nil)
}

func openAIRequests(t *testing.T, add func(int, string, string, []byte, ...string)) {
	const route, path = "POST /v1/embeddings", "/v1/embeddings"
	good, json := servertest.Photo(t, 0), []string{"Content-Type", "application/json"}
	add(200, route, path, openAIAsk("backbone", `, "encoding_format": "base64"`, good), json...)
	add(200, route, path+"?api-version=1", openAIAsk("backbone", `, "user": "u", "normalize": true`, good, good), json...)
	add(200, route, path, []byte(`{"model": "backbone", "input": "`+base64.StdEncoding.EncodeToString(good)+`"}`), json...)
	add(400, route, path, openAIAsk("backbone", `, "dimensions": 8`, good), json...)
	add(404, route, path, openAIAsk("gpt", "", good), json...)
	add(413, route, path, openAIAsk("backbone", "", good, good, good, good), json...)
	add(422, route, path, openAIAsk("backbone", "", []byte("no image")), json...)
}

func inferRequests(fingerprint string, add func(int, string, string, []byte, ...string)) {
	numbers := strings.Repeat("7, ", 767) + "7"
	ask := func(n int, more, rest string) []byte {
		return fmt.Appendf(nil, `{"id": "1", "inputs": [{"name": "pixels", "datatype": "UINT8", "shape": [%d, 16, 16, 3], %s}]%s}`, n, more, rest)
	}
	packed := ask(1, `"parameters": {"binary_data_size": 768}`, `, "outputs": [{"name": "embedding", "parameters": {"binary_data": true}}]`)
	for route, path := range map[string]string{"/v2/models/{model}": "/v2/models/backbone", "/v2/models/{model}/versions/{version}": "/v2/models/backbone/versions/" + fingerprint} {
		route, path = "POST "+route+"/infer", path+"/infer"
		json := []string{"Content-Type", "application/json", "traceparent", "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"}
		add(200, route, path, ask(1, `"data": [`+numbers+`]`, ""), json...)
		add(200, route, path, ask(1, `"data": [[`+numbers+`]]`, `, "parameters": {"binary_data_output": true}`), json...)
		add(200, route, path, append(packed, noise(1)...), "Content-Type", "application/octet-stream", headerLength, strconv.Itoa(len(packed)))
		add(400, route, path, ask(1, `"data": [1, 2]`, ""), json...)
		add(404, route, strings.Replace(path, "backbone", "other", 1), ask(1, `"data": []`, ""), json...)
		add(413, route, path, ask(4, `"data": []`, ""), json...)
		add(415, route, path, ask(1, `"data": []`, ""), "Content-Type", "text/csv")
	}
}
