package filter

import (
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"unicode/utf8"
)

// cursor walks over JSON text known to be valid. It is positioned before a value, key, comma or
// bracket, or before white space that precedes one.
type cursor struct {
	text  []byte
	at    int
	depth int
}

// open checks that the text is a single JSON object and returns a cursor at its start.
func open(text []byte) (*cursor, error) {
	if !utf8.Valid(text) {
		return nil, errors.New("it is not valid UTF-8")
	}
	if !json.Valid(text) {
		var whole json.RawMessage
		return nil, fmt.Errorf("it is not JSON: %w", json.Unmarshal(text, &whole))
	}
	c := &cursor{text: text}
	if c.next() != '{' {
		return nil, fmt.Errorf("it is not a JSON object but %s", c.what())
	}
	return c, nil
}

// next skips white space and returns the byte that follows, without consuming it.
func (c *cursor) next() byte {
	for c.text[c.at] <= ' ' {
		c.at++
	}
	return c.text[c.at]
}

// what names the kind of value at the cursor.
func (c *cursor) what() string {
	switch c.next() {
	case '{':
		return "an object"
	case '[':
		return "a list"
	case '"':
		return "a string"
	case 't', 'f':
		return "true or false"
	case 'n':
		return "null"
	}
	return "a number"
}

// members iterates over an object; each must advance past the value of its key.
func (c *cursor) members(each func(key string) error) error {
	keys := make([]string, 0, 8)
	err := c.elements(func(int) error {
		key := c.string()
		keys = append(keys, key)
		c.next()
		c.at++ // the colon
		return each(key)
	})
	if err != nil {
		return err
	}
	slices.Sort(keys)
	for i := 1; i < len(keys); i++ {
		if keys[i] == keys[i-1] {
			return fmt.Errorf("the key %s occurs twice in one object", shown(keys[i]))
		}
	}
	return nil
}

// elements iterates over a list; each must advance past element i.
func (c *cursor) elements(each func(i int) error) error {
	if c.depth++; c.depth > MaxDepth {
		return fmt.Errorf("it nests more than %d objects and lists", MaxDepth)
	}
	c.next()
	c.at++
	for i := 0; c.next() != '}' && c.text[c.at] != ']'; i++ {
		if c.text[c.at] == ',' {
			c.at++
			c.next()
		}
		if err := each(i); err != nil {
			return err
		}
	}
	c.at++
	c.depth--
	return nil
}

// string reads a string; the result does not alias the text.
func (c *cursor) string() string {
	c.next()
	start, escaped := c.at, false
	for c.at++; c.text[c.at] != '"'; c.at++ {
		if c.text[c.at] == '\\' {
			escaped = true
			c.at++
		}
	}
	c.at++
	if !escaped {
		return string(c.text[start+1 : c.at-1])
	}
	var s string
	if err := json.Unmarshal(c.text[start:c.at], &s); err != nil {
		panic(err) // the text is valid
	}
	return s
}

// scalar reads a value that is neither an object nor a list.
func (c *cursor) scalar() (scalar, error) {
	switch c.next() {
	case '"':
		return scalar{kind: text, text: c.string()}, nil
	case 't':
		c.at += len("true")
		return truth(true), nil
	case 'f':
		c.at += len("false")
		return truth(false), nil
	case 'n':
		c.at += len("null")
		return scalar{kind: null}, nil
	}
	start := c.at
	for c.at < len(c.text) && strings.IndexByte("+-.0123456789Ee", c.text[c.at]) >= 0 {
		c.at++
	}
	digits := string(c.text[start:c.at])
	x, err := strconv.ParseFloat(digits, 64)
	if err != nil {
		return scalar{}, fmt.Errorf("the number %s is too large for a 64-bit float", shown(digits))
	}
	if x == 0 {
		x = 0 // not -0
	}
	return scalar{kind: number, number: x}, nil
}

// shown formats s for an error message: unchanged if it is printable, otherwise quoted, and
// truncated if it is long.
func shown(s string) string {
	const most = 60
	if s != "" && len(s) <= most && strings.IndexFunc(s, func(r rune) bool { return !strconv.IsPrint(r) || r == ' ' }) < 0 {
		return s
	}
	if len(s) > most {
		s = strings.ToValidUTF8(s[:most], "") + "..."
	}
	return strconv.Quote(s)
}
