package main

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"mime/multipart"
)

// message is a prebuilt request. Only 16 hexadecimal digits vary between sendings, at the offsets
// at in head: of an image of 100 kB only the head is copied for each sending.
type message struct {
	pictures []int  // its image indices, for judging the answer; -1 for a bad one
	kind     string // for reports
	statuses []int  // the allowed ones if not only 200
	head     []byte
	at       []int
	tail     []byte // shared by all senders, read-only
}

// digits is the length of the part of a message that varies.
const digits = 16

// small is the size up to which a body is copied rather than written separately.
const small = 4 << 10

// patch writes a number into the digits at the beginning of place.
func patch(place []byte, n uint64) {
	const hex = "0123456789abcdef"
	for i := digits - 1; i >= 0; i-- {
		place[i] = hex[n&15]
		n >>= 4
	}
}

// post returns a POST request. own lists the offsets of varying digits in the body, in ascending
// order. A header with an empty value gets digits, too.
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

// get returns a GET request.
func get(path string) *message {
	return &message{head: fmt.Appendf(nil, "GET %s HTTP/1.1\r\nHost: localhost\r\n\r\n", path)}
}

// commented inserts a comment of digits after the first marker of a JPEG file, and returns the
// offset of the digits: each number makes a different file of the same image.
func commented(file []byte) (out []byte, at int, err error) {
	if !bytes.HasPrefix(file, []byte{0xff, 0xd8, 0xff}) {
		return nil, 0, errors.New("not a JPEG file")
	}
	out = append(out, 0xff, 0xd8, 0xff, 0xfe, 0, 2+digits) // the length counts itself
	at = len(out)
	out = append(out, bytes.Repeat([]byte{'0'}, digits)...)
	return append(out, file[2:]...), at, nil
}

// imageMessage returns a POST /embed of one JPEG file, whose bytes differ each time, for a binary
// answer.
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

// imageMessages returns one message for each image.
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

// inferMessage returns an Open Inference Protocol request of one image's pixels, 3*size*size bytes
// of which the first 16 vary, with a binary answer.
func inferMessage(model string, pixels []byte, size int) *message {
	header := fmt.Sprintf(`{"inputs":[{"name":"pixels","datatype":"UINT8","shape":[1,%d,%d,3],"parameters":{"binary_data_size":%d}}],`+
		`"outputs":[{"name":"embedding","parameters":{"binary_data":true}}]}`, size, size, len(pixels))
	m := post("/v2/models/"+model+"/infer", append([]byte(header), pixels...), []int{len(header)},
		[2]string{"Content-Type", "application/octet-stream"}, [2]string{"Inference-Header-Content-Length", fmt.Sprint(len(header))})
	m.kind = "tensor"
	return m
}

// jsonMessage returns a POST /embed of several files in JSON, answered in JSON.
func jsonMessage(files ...[]byte) *message {
	texts := make([]string, len(files))
	for i, f := range files {
		texts[i] = base64.StdEncoding.EncodeToString(f)
	}
	body, _ := json.Marshal(map[string]any{"inputs": texts}) // strings cannot fail
	m := post("/embed", body, nil, [2]string{"Content-Type", "application/json"})
	m.kind = "json"
	return m
}

// formMessage returns a POST /embed of several files as a form, answered in JSON.
func formMessage(files ...[]byte) *message { return form(files, nil) }

// form is formMessage for files with varying digits at these offsets of each.
func form(files [][]byte, at []int) *message {
	var body bytes.Buffer // its writes cannot fail
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

// formOfImages returns a form of count images that differ from one another and each time.
func formOfImages(p picture, count int) (*message, error) {
	files, at := make([][]byte, count), make([]int, count)
	for i := range files {
		body, place, err := commented(p.data)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", p.name, err)
		}
		files[i], at[i] = append(body, byte(i)), place // data after the end of the image is ignored
	}
	return form(files, at), nil
}
