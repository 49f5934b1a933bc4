package main

import (
	"bufio"
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"

	"vicreg/server/index/indextest"
)

// killsEnv sets how often TestKillServer kills; scripts/bench.sh index --case kill sets it.
const killsEnv = "VICREG_KILLS"

// These tests use a model for pictures of 4 x 4 pixels.
const (
	durableSide = 4
	durableDim  = 3 * durableSide * durableSide
)

// process is a vicreg serve that owns an index.
type process struct {
	cmd   *exec.Cmd
	lines *bufio.Reader
	url   string
	log   string // path of the log file
}

// startServer starts this program as vicreg serve, wrapped in the command behind if it is not
// empty.
func startServer(t *testing.T, behind []string, args ...string) *process {
	t.Helper()
	dir := t.TempDir()
	program := filepath.Join(dir, "vicreg")
	if err := os.Symlink(os.Args[0], program); err != nil {
		t.Fatal(err)
	}
	all := append(slices.Clone(behind), program, "serve", "--addr", "127.0.0.1:0", "--threads", "1", "--max-batch", "1", "--pause", "0s")
	all = append(all, args...)
	p := &process{cmd: exec.Command(all[0], all[1:]...), log: filepath.Join(dir, "log")}
	log, err := os.Create(p.log)
	if err != nil {
		t.Fatal(err)
	}
	defer log.Close() // the server has its own descriptor
	p.cmd.Stderr = log
	out, err := p.cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := p.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { p.cmd.Process.Kill() })
	p.lines = bufio.NewReader(out)
	p.ready()
	return p
}

// said returns the end of the server's log.
func (p *process) said() string {
	text, err := os.ReadFile(p.log)
	if err != nil {
		return err.Error()
	}
	return string(text[max(0, len(text)-2000):])
}

// ready waits for the line with the address; url is "" if the output ends without one.
func (p *process) ready() {
	p.url = ""
	for {
		line, err := p.lines.ReadString('\n')
		if _, addr, ok := strings.Cut(strings.TrimSpace(line), " on http://"); ok {
			p.url = "http://" + addr
			return
		}
		if err != nil {
			return
		}
	}
}

// ask sends body as JSON, or nothing if it is nil, and decodes the response, whose status it
// returns.
func (p *process) ask(method, path string, body, answer any) (status int, err error) {
	var text []byte
	if body != nil {
		if text, err = json.Marshal(body); err != nil {
			return 0, err
		}
	}
	r, err := http.NewRequest(method, p.url+path, bytes.NewReader(text))
	if err != nil {
		return 0, err
	}
	r.Header.Set("Content-Type", "application/json")
	w, err := http.DefaultClient.Do(r)
	if err != nil {
		return 0, err
	}
	defer w.Body.Close()
	if text, err = io.ReadAll(w.Body); err != nil {
		return 0, err
	}
	if answer != nil && len(text) > 0 {
		err = json.Unmarshal(text, answer)
	}
	return w.StatusCode, err
}

// jsonItem is an item as the API accepts it.
func jsonItem(id string, number int) map[string]any {
	it := indextest.Version(id, number, durableDim)
	return map[string]any{"id": id, "vector": it.Vector, "metadata": it.Metadata, "source": it.Source}
}

// change makes a call over HTTP.
func (p *process) change(c indextest.Call) error {
	want, method, path := 200, "", ""
	var body any
	switch {
	case c.Kind == indextest.Put && len(c.IDs) == 1:
		item := jsonItem(c.IDs[0], c.Number)
		delete(item, "id")
		method, path, body = "PUT", "/items/"+c.IDs[0], item
	case c.Kind == indextest.Put:
		var items []any
		for _, id := range c.IDs {
			items = append(items, jsonItem(id, c.Number))
		}
		method, path, body = "POST", "/items", map[string]any{"items": items}
	case c.Kind == indextest.Delete:
		method, path, want = "DELETE", "/items/"+c.IDs[0], 204
	}
	var answer struct {
		Detail string
		Data   []struct{ Error json.RawMessage }
	}
	status, err := p.ask(method, path, body, &answer)
	if err != nil {
		return err
	}
	if status != want && !(method == "PUT" && status == 201) && !(method == "DELETE" && status == 404) {
		return fmt.Errorf("%s %s: %d %s", method, path, status, answer.Detail)
	}
	for _, row := range answer.Data {
		if row.Error != nil {
			return fmt.Errorf("%s %s: %s", method, path, row.Error)
		}
	}
	return nil
}

// TestKillServer kills servers that own an index while clients store, delete and search: everything
// acknowledged must be there once the next server has opened the file.
func TestKillServer(t *testing.T) {
	kills := 3
	if text := os.Getenv(killsEnv); text != "" {
		var err error
		if kills, err = strconv.Atoi(text); err != nil {
			t.Fatal(err)
		}
	}
	dir := t.TempDir()
	model, file := filepath.Join(dir, "pixels.onnx"), filepath.Join(dir, "killed.index")
	if err := writePixels(model, durableSide); err != nil {
		t.Fatal(err)
	}
	l := indextest.NewLedger()
	r := rand.New(rand.NewPCG(3, uint64(kills)))
	for round := range kills {
		p := startServer(t, nil, "--model", model, "--index", file)
		verifyServer(t, p, l)
		p.killAfter(t, l, round+1, 1+r.IntN(200))
	}
	p := startServer(t, nil, "--model", model, "--index", file)
	verifyServer(t, p, l)
	t.Logf("http_times=%d http_%v", kills, strings.ReplaceAll(l.String(), " ", " http_"))
	if l.Calls() == 0 {
		t.Error("nothing was acknowledged")
	}
}

// killAfter runs clients until the given number of calls was acknowledged, and then kills the
// server.
func (p *process) killAfter(t *testing.T, l *indextest.Ledger, round, calls int) {
	t.Helper()
	var done atomic.Int64
	var killed atomic.Bool
	var clients sync.WaitGroup
	for w := range 4 {
		clients.Go(func() {
			r := rand.New(rand.NewPCG(uint64(round), uint64(w)))
			for n := 1; ; n++ {
				c := indextest.RandomCall(r, w, round<<20+n)
				if c.Kind == indextest.Compact {
					continue
				}
				if c.Kind == indextest.Delete {
					c.IDs = c.IDs[:1]
				}
				l.Begin(c)
				err := p.change(c)
				if err == nil {
					err = l.Done(c.Worker, c.Number)
				}
				if err == nil && done.Add(1) == int64(calls) {
					killed.Store(true)
					p.cmd.Process.Kill()
				}
				if err == nil && !killed.Load() {
					err = p.shows(c)
				}
				if err != nil {
					if !killed.Load() {
						t.Errorf("before the kill: %v", err)
						p.cmd.Process.Kill()
					}
					return
				}
			}
		})
	}
	clients.Wait()
	p.cmd.Wait()
	if t.Failed() {
		t.Fatal(p.said())
	}
}

// shows returns an error unless a search finds what a call has stored.
func (p *process) shows(c indextest.Call) error {
	if c.Kind != indextest.Put {
		return nil
	}
	id := c.IDs[0]
	var answer struct {
		Data []struct {
			Results []struct {
				ID       string
				Score    float64
				Metadata json.RawMessage
			}
		}
	}
	status, err := p.ask("POST", "/similar?k=1", map[string]any{"vector": indextest.Version(id, c.Number, durableDim).Vector}, &answer)
	if err != nil {
		return err
	}
	if status != 200 || len(answer.Data) != 1 || len(answer.Data[0].Results) != 1 {
		return fmt.Errorf("a search for %s of call %d: %d %+v", id, c.Number, status, answer)
	}
	if hit := answer.Data[0].Results[0]; hit.ID != id || hit.Score < 0.999 || indextest.NumberOf(hit.Metadata) != c.Number {
		return fmt.Errorf("a search for %s of call %d finds %+v", id, c.Number, hit)
	}
	return nil
}

// verifyServer compares a server's items with what was acknowledged.
func verifyServer(t *testing.T, p *process, l *indextest.Ledger) {
	t.Helper()
	if p.url == "" {
		t.Fatalf("the server does not start: %s", p.said())
	}
	type item struct {
		Metadata json.RawMessage
		Source   string
		Vector   []float32
	}
	get := func(id string) (it item, err error) {
		status, err := p.ask("GET", "/items/"+url.PathEscape(id)+"?with_vector=true", nil, &it)
		if err == nil && status != 200 && status != 404 {
			err = fmt.Errorf("GET %s: %d", id, status)
		}
		return it, err
	}
	err := l.Settle(true, func(id string) (int, error) {
		it, err := get(id)
		if err != nil || it.Vector == nil {
			return 0, err
		}
		return indextest.NumberOf(it.Metadata), nil
	})
	if err != nil {
		t.Fatal(err)
	}
	ids, numbers := l.Items()
	var page struct{ Total int }
	if _, err := p.ask("GET", "/items?limit=1", nil, &page); err != nil || page.Total != len(ids) {
		t.Fatalf("%d items are there, want %d, %v", page.Total, len(ids), err)
	}
	for _, id := range ids {
		want := indextest.Version(id, numbers[id], durableDim)
		if it, err := get(id); err != nil || it.Source != want.Source || !slices.Equal(it.Vector, want.Vector) || string(it.Metadata) != string(want.Metadata) {
			t.Fatalf("%s of call %d is %+v, %v", id, numbers[id], it, err)
		}
		if err := p.shows(indextest.Call{Kind: indextest.Put, Number: numbers[id], IDs: []string{id}}); err != nil {
			t.Fatal(err)
		}
	}
}

// smallDisk runs a command twice on a small private disk, which is enlarged before the second run;
// SIGTERM is forwarded to the command. It exits with 97 if no disk can be mounted.
const smallDisk = `
mount -t tmpfs -o size=2m none "$1" || exit 97
folder=$1
shift
run() {
	"$@" &
	trap "kill $!" TERM
	wait # until SIGTERM
	wait $!
}
run "$@" # it may fail to empty the log of the index into the file
mount -o remount,size=8m none "$folder"
run "$@"
`

// TestFullDisk fills the disk under a server: writes fail with 507, reads and searches still work,
// and everything acknowledged before is there at the end.
func TestFullDisk(t *testing.T) {
	if out, err := exec.Command("unshare", "--user", "--map-root-user", "--mount", "true").CombinedOutput(); err != nil {
		t.Skipf("no disk can be mounted here: %v %s", err, out)
	}
	dir := t.TempDir()
	model, disk := filepath.Join(dir, "pixels.onnx"), filepath.Join(dir, "disk")
	if err := writePixels(model, durableSide); err != nil {
		t.Fatal(err)
	}
	if err := os.Mkdir(disk, 0o777); err != nil {
		t.Fatal(err)
	}
	p := startServer(t, []string{"unshare", "--user", "--map-root-user", "--mount", "sh", "-c", smallDisk, "sh", disk},
		"--model", model, "--index", filepath.Join(disk, "x.index"))
	if p.url == "" {
		var end *exec.ExitError
		if errors.As(p.cmd.Wait(), &end) && end.ExitCode() == 97 {
			t.Skip("no disk can be mounted here")
		}
		t.Fatal(p.said())
	}
	l := indextest.NewLedger()
	fill(t, p, l)
	verifyServer(t, p, l)
	if status, err := p.ask("GET", "/readyz", nil, nil); err != nil || status != 200 {
		t.Errorf("/readyz on a full disk: %d %v", status, err)
	}
	if err := p.cmd.Process.Signal(syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	p.ready()
	verifyServer(t, p, l)
	if err := p.change(indextest.Call{Number: 9999, Kind: indextest.Put, IDs: []string{"once there is room"}}); err != nil {
		t.Error(err)
	}
	if err := errors.Join(p.cmd.Process.Signal(syscall.SIGTERM), p.cmd.Wait()); err != nil {
		t.Errorf("the server ended with %v: %s", err, p.said())
	}
}

// fill stores items, one or 41 per call, until the disk is full, and checks that calls then fail
// with 507.
func fill(t *testing.T, p *process, l *indextest.Ledger) {
	t.Helper()
	for n := 1; ; n++ {
		c := indextest.Call{Number: n, Kind: indextest.Put}
		for i := range 1 + n%2*40 {
			c.IDs = append(c.IDs, fmt.Sprintf("%d-%d", n, i))
		}
		l.Begin(c)
		err := p.change(c)
		if err == nil {
			err = l.Done(0, n)
		}
		switch {
		case err == nil:
			continue
		case !strings.Contains(err.Error(), ": 507 "):
			t.Fatal(err)
		}
		for range 2 {
			var problem struct{ Type, Title, Detail string }
			item := jsonItem("x", n)
			delete(item, "id")
			item["metadata"] = map[string]string{"long": strings.Repeat("x", 15_000)}
			status, err := p.ask("PUT", "/items/x", item, &problem)
			if err != nil || status != 507 || problem.Type != "urn:vicreg:problem:no-space" || problem.Detail == "" {
				t.Fatalf("on a full disk: %d %+v %v", status, problem, err)
			}
		}
		return
	}
}
