package main

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// How a request without an answer is classified depends on what the server logged of it.
func TestSettle(t *testing.T) {
	log := filepath.Join(t.TempDir(), "log")
	lines := `{"msg":"stopping","waiting":3}
{"msg":"request","status":200,"request_id":"answered"}
no JSON
{"msg":"request","status":400,"request_id":"cut"}
{"msg":"request","status":499,"request_id":"left"}
`
	if err := os.WriteFile(log, []byte(lines), 0o666); err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		id            string
		idle, inOrder bool
		lost          int
	}{
		{"unknown", true, true, 0},
		{"unknown", false, true, 0}, // it was waiting to be accepted
		{"unknown", true, false, 1}, // a handler may have been cut off
		{"cut", true, true, 0},
		{"left", true, true, 0},
		{"cut", false, true, 1},
		{"answered", true, true, 1},
	} {
		e := &ends{pending: []pending{{c.id, c.idle}}}
		races, err := e.settle(log, c.inOrder)
		if e.lost != c.lost || races != 1-c.lost || (err != nil) != (c.lost > 0) {
			t.Errorf("%+v: %d lost, %d races, %v", c, e.lost, races, err)
		}
	}
}

func TestNote(t *testing.T) {
	e, failed := &ends{}, errors.New("failed")
	whole := func(status int) *reply { return &reply{begun: true, status: status} }
	for _, c := range []struct {
		read, r *reply
		err     error
		over    bool
	}{
		{whole(200), whole(200), nil, false},
		{whole(200), whole(200), failed, false}, // judged wrong
		{whole(503), whole(503), nil, false},
		{whole(500), whole(500), nil, false},
		{&reply{}, nil, failed, false},
		{&reply{begun: true}, nil, failed, false},
		{&reply{}, nil, unsent{failed}, true},
	} {
		if over := e.note(pending{}, c.read, c.r, c.err); over != c.over {
			t.Errorf("%+v: over %v", c, over)
		}
	}
	if e.answered != 1 || e.wrong != 2 || e.refused != 1 || len(e.pending) != 1 || e.lost != 1 || e.unsent != 1 {
		t.Errorf("%+v", e)
	}
	if text := errors.Join(e.faults...).Error(); !strings.Contains(text, "cut off") || !strings.Contains(text, "status 500") {
		t.Error(text)
	}
}
