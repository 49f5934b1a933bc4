package main

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"mime/multipart"
)

// message is a request made ahead. What differs from one sending to the next is 16
// hexadecimal digits, in all the places of head that at names: of 100 kB of an image
// only the head is copied for each.
type message struct {
	pictures []int  // in it, for whoever judges the answer; -1 for one that is bad
	kind     string // what it is, for reports
	statuses []int  // that the answer may have, where any but 200
	head     []byte
	at       []int
	tail     []byte // shared by all who send it, never written
}

// digits is the length of the part of a message that is its own.
const digits = 16

// small is up to which size a body is copied rather than written in a second piece.
const small = 4 << 10

// patch writes a number into the digits at the beginning of place.
func patch(place []byte, n uint64) {
	const hex = "0123456789abcdef"
	for i := digits - 1; i >= 0; i-- {
		place[i] = hex[n&15]
		n >>= 4
	}
}

// post is a POST request. The digits of its own are at those places of the body, in
// order. A header whose value is the empty string gets digits, too.
func post(path string, body []byte, own []int, headers ...[2]string) *message {
	m := &message{}
	m.head = fmt.Appendf(nil, "POST %s HTTP/1.1\r\nHost: localhost\r\nContent-Length: %d\r\n", path, len(body))
	for _, h := range headers {
		m.head = fmt.Appendf(m.head, "%s: ", h[0])
		if h[1] == "" {
			m.at = append(m.at, len(m.head))
			h[1] = string(make([]byte, digits))
		}
		m.head = fmt.Appendf(m.head, "%s\r\n", h[1])
	}
	m.head = append(m.head, "\r\n"...)
	cut := 0
	for _, at := range own {
		m.at = append(m.at, len(m.head)+at)
		cut = at + digits
	}
	if len(body) <= small {
		cut = len(body)
	}
	m.head, m.tail = append(m.head, body[:cut]...), body[cut:]
	return m
}

// get is a GET request.
func get(path string) *message {
	return &message{head: fmt.Appendf(nil, "GET %s HTTP/1.1\r\nHost: localhost\r\n\r\n", path)}
}

// commented is a JPEG file with a comment of digits behind its first marker, and
// where they are: as many different files of one picture as there are numbers.
func commented(file []byte) (out []byte, at int, err error) {
	if !bytes.HasPrefix(file, []byte{0xff, 0xd8, 0xff}) {
		return nil, 0, errors.New("not a JPEG file")
	}
	out = append(out, 0xff, 0xd8, 0xff, 0xfe, 0, 2+digits) // the length counts itself
	at = len(out)
	out = append(out, bytes.Repeat([]byte{'0'}, digits)...)
	return append(out, file[2:]...), at, nil
}

// imageMessage is POST /embed of one JPEG file, whose bytes are different each time, for
// rows of numbers.
func imageMessage(p picture, headers ...[2]string) (*message, error) {
	body, at, err := commented(p.data)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", p.name, err)
	}
	headers = append([][2]string{{"Content-Type", "image/jpeg"}, {"Accept", "application/octet-stream"}}, headers...)
	m := post("/embed", body, []int{at}, headers...)
	m.kind = "image"
	return m, nil
}

// imageMessages is one message for each picture.
func imageMessages(pictures []picture, headers ...[2]string) (all []*message, err error) {
	for i, p := range pictures {
		m, err := imageMessage(p, headers...)
		if err != nil {
			return nil, err
		}
		m.pictures = []int{i}
		all = append(all, m)
	}
	return all, nil
}

// inferMessage is an Open Inference Protocol request of one picture's pixels, 3*size*size
// bytes of which the first 16 are the message's own, with numbers as the answer.
func inferMessage(model string, pixels []byte, size int) *message {
	header := fmt.Sprintf(`{"inputs":[{"name":"pixels","datatype":"UINT8","shape":[1,%d,%d,3],"parameters":{"binary_data_size":%d}}],`+
		`"outputs":[{"name":"embedding","parameters":{"binary_data":true}}]}`, size, size, len(pixels))
	m := post("/v2/models/"+model+"/infer", append([]byte(header), pixels...), []int{len(header)},
		[2]string{"Content-Type", "application/octet-stream"}, [2]string{"Inference-Header-Content-Length", fmt.Sprint(len(header))})
	m.kind = "tensor"
	return m
}

// jsonMessage is POST /embed of several files in JSON, answered in JSON.
func jsonMessage(files ...[]byte) *message {
	texts := make([]string, len(files))
	for i, f := range files {
		texts[i] = base64.StdEncoding.EncodeToString(f)
	}
	body, _ := json.Marshal(map[string]any{"inputs": texts}) // strings alone cannot fail
	m := post("/embed", body, nil, [2]string{"Content-Type", "application/json"})
	m.kind = "json"
	return m
}

// formMessage is POST /embed of several files as a form, answered in JSON.
func formMessage(files ...[]byte) *message { return form(files, nil) }

// form is formMessage of files with digits of their own at these places of each.
func form(files [][]byte, at []int) *message {
	var body bytes.Buffer // which takes everything
	var own []int
	w := multipart.NewWriter(&body)
	for i, f := range files {
		part, _ := w.CreateFormFile("file", fmt.Sprintf("%d.jpg", i))
		if at != nil {
			own = append(own, body.Len()+at[i])
		}
		part.Write(f)
	}
	w.Close()
	m := post("/embed", body.Bytes(), own, [2]string{"Content-Type", w.FormDataContentType()})
	m.kind = "form"
	return m
}

// formOfImages is a form of so many images, different from one another and each time.
func formOfImages(p picture, count int) (*message, error) {
	files, at := make([][]byte, count), make([]int, count)
	for i := range files {
		body, place, err := commented(p.data)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", p.name, err)
		}
		files[i], at[i] = append(body, byte(i)), place // what is behind the end counts for nothing
	}
	return form(files, at), nil
}
