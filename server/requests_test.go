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
)

// requests go to each route, as well as they can be and with each mistake.
func requests(t *testing.T, s *Server) (all []request) {
	add := func(status int, route, path string, body []byte, headers ...string) {
		all = append(all, request{route, path, body, headers, status})
	}
	for _, route := range slices.Sorted(maps.Keys(contractOf(t).operations())) {
		method, path, _ := strings.Cut(route, " ")
		path = strings.NewReplacer("{model}", "backbone", "{version}", s.current().Fingerprint(), "docs/{asset}", "docs/docs.js", "page/{asset}", "page/main.js").Replace(path)
		if method != "POST" {
			add(200, route, path, nil, "traceparent", "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01")
		}
	}
	embedRequests(t, add)
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
	good, json := photo(t, 0), []string{"Content-Type", "application/json"}
	add(200, route, path, asJPEG.Bytes(), "Content-Type", "image/jpeg")
	add(200, route, path, asGIF.Bytes(), "Content-Type", "image/gif")
	for _, kind := range []string{"image/png", "image/webp", "application/octet-stream"} { // what it is is told by its content
		add(200, route, path+"?normalize=true", good, "Content-Type", kind, "X-Request-Id", "1")
	}
	parts, kind := form(t, good, good)
	add(200, route, path, parts, "Content-Type", kind)
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

func openAIRequests(t *testing.T, add func(int, string, string, []byte, ...string)) {
	const route, path = "POST /v1/embeddings", "/v1/embeddings"
	good, json := photo(t, 0), []string{"Content-Type", "application/json"}
	add(200, route, path, openAIAsk("backbone", `, "encoding_format": "base64"`, good), json...)
	add(200, route, path, openAIAsk("backbone", `, "user": "u"`, good, good), json...)
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
