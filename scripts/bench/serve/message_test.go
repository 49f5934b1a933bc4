package main

import (
	"bufio"
	"bytes"
	"fmt"
	"image"
	_ "image/jpeg"
	"io"
	"net/http"
	"strings"
	"testing"
)

// sent returns a message as transmitted with a number in it, parsed by net/http.
func sent(t *testing.T, m *message, number uint64) (*http.Request, []byte) {
	t.Helper()
	head := bytes.Clone(m.head)
	for _, at := range m.at {
		patch(head[at:], number)
	}
	r, err := http.ReadRequest(bufio.NewReader(bytes.NewReader(append(head, m.tail...))))
	if err != nil {
		t.Fatal(err)
	}
	body, err := io.ReadAll(r.Body)
	if err != nil || int64(len(body)) != r.ContentLength {
		t.Fatalf("a body of %d bytes, Content-Length %d: %v", len(body), r.ContentLength, err)
	}
	return r, body
}

// A comment makes a different file of the same image, and the number appears in it and in the
// headers that request it.
func TestImageMessage(t *testing.T) {
	p := tiny()
	p.data = append(p.data, make([]byte, 2*small)...) // too large to be copied
	m, err := imageMessage(p, [2]string{"X-Request-Id", ""})
	if err != nil {
		t.Fatal(err)
	}
	r, body := sent(t, m, 0xabc)
	_, other := sent(t, m, 0xabd)
	if id := r.Header.Get("X-Request-Id"); id != "0000000000000abc" || !bytes.Contains(body, []byte(id)) || bytes.Equal(body, other) {
		t.Errorf("id %q", id)
	}
	if len(m.tail) < 2*small || !bytes.Contains(m.head, []byte("\r\n\r\n\xff\xd8\xff\xfe\x00\x12")) {
		t.Errorf("head %q", m.head)
	}
	want, _, err1 := image.Decode(bytes.NewReader(p.data))
	got, _, err2 := image.Decode(bytes.NewReader(body))
	if err1 != nil || err2 != nil || fmt.Sprint(got) != fmt.Sprint(want) {
		t.Errorf("%v, %v: the picture has changed", err1, err2)
	}
	if _, err := imageMessage(picture{"x.png", []byte("\x89PNG\r\n")}); err == nil {
		t.Error("a PNG file got a JPEG comment")
	}
}

func TestInferMessage(t *testing.T) {
	pixels := noise(smallSide)
	r, body := sent(t, inferMessage("nocost", pixels, smallSide), 5)
	var length int
	fmt.Sscan(r.Header.Get("Inference-Header-Content-Length"), &length)
	if r.URL.Path != "/v2/models/nocost/infer" || len(body)-length != 972 || !strings.HasSuffix(string(body[:length]), "}]}") {
		t.Fatalf("%s: %d bytes of %d are JSON", r.URL, length, len(body))
	}
	if string(body[length:length+digits]) != "0000000000000005" || !bytes.Equal(body[length+digits:], pixels[digits:]) {
		t.Error("the pixels have changed by more than the number")
	}
}

// Every image of a form is a distinct file, within a message and between messages.
func TestFormOfImages(t *testing.T) {
	m, err := formOfImages(tiny(), 3)
	if err != nil {
		t.Fatal(err)
	}
	seen := map[string]bool{}
	for number := range uint64(2) {
		r, body := sent(t, m, number)
		r.Body = io.NopCloser(bytes.NewReader(body))
		if err := r.ParseMultipartForm(1 << 20); err != nil {
			t.Fatal(err)
		}
		for _, part := range r.MultipartForm.File["file"] {
			f, err := part.Open()
			if err != nil {
				t.Fatal(err)
			}
			file, _ := io.ReadAll(f)
			if _, _, err := image.Decode(bytes.NewReader(file)); err != nil {
				t.Error(err)
			}
			seen[string(file)] = true
		}
	}
	if len(seen) != 6 {
		t.Errorf("%d different files, want 6", len(seen))
	}
}
