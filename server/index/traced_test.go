package index_test

import (
	"bufio"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

// TestSyncBeforeAcknowledged examines the system calls of a process that writes: what goes to the
// index's log between the line that announces a call and the one that acknowledges it must be
// synced before the latter. Killing the process does not test that: the kernel still writes what
// it has.
func TestSyncBeforeAcknowledged(t *testing.T) {
	strace, err := exec.LookPath("strace")
	if err != nil {
		t.Skip("strace is not installed")
	}
	if out, err := exec.Command(strace, "-o", os.DevNull, "true").CombinedOutput(); err != nil {
		t.Skipf("strace may not trace here: %v %s", err, out)
	}
	dir := t.TempDir()
	log := filepath.Join(dir, "trace")
	c := exec.Command(strace, "-f", "-y", "-s", "64", "-o", log, "-e", "trace=write,pwrite64,fsync,fdatasync", os.Args[0])
	c.Env = append(os.Environ(), childEnv+"=sequential", pathEnv+"="+filepath.Join(dir, "traced.index"), roundEnv+"=0")
	if out, err := c.CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	file, err := os.Open(log)
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	tr := &trace{t: t}
	for lines := bufio.NewScanner(file); lines.Scan(); {
		tr.line(lines.Text())
	}
	if tr.calls != 6 {
		t.Errorf("%d calls were traced, want 6", tr.calls)
	}
}

// trace follows the system calls of all threads, in the order in which they began; a call
// interrupted by another thread has a second line when it returns.
type trace struct {
	t       *testing.T
	calls   int
	call    string          // announced but not acknowledged
	written bool            // the log has been written since
	synced  bool            // the log has been synced after the last write
	syncing map[string]bool // by thread: a sync of the log that has not returned
}

var (
	traced  = regexp.MustCompile(`^(\d+) +(.*)$`)
	said    = regexp.MustCompile(`^write\(1<.*"(begin|done) (.*)\\n"`)
	logged  = regexp.MustCompile(`^(pwrite64|write)\(\d+<[^>]*\.index-wal>`)
	sync    = regexp.MustCompile(`^(fsync|fdatasync)\(\d+<[^>]*\.index-wal>`)
	resumed = regexp.MustCompile(`^<\.\.\. (fsync|fdatasync) resumed>`)
)

func (tr *trace) line(text string) {
	parts := traced.FindStringSubmatch(text)
	if parts == nil {
		tr.t.Fatalf("strace says %q", text)
	}
	thread, what := parts[1], parts[2]
	succeeded := strings.HasSuffix(what, "= 0")
	switch {
	case said.MatchString(what):
		m := said.FindStringSubmatch(what)
		tr.say(m[1], m[2])
	case logged.MatchString(what):
		tr.written, tr.synced = true, false
		clear(tr.syncing) // a sync that began before does not count
	case sync.MatchString(what) && strings.HasSuffix(what, "<unfinished ...>"):
		if tr.syncing == nil {
			tr.syncing = map[string]bool{}
		}
		tr.syncing[thread] = true
	case sync.MatchString(what):
		tr.synced = succeeded
	case resumed.MatchString(what) && tr.syncing[thread]:
		delete(tr.syncing, thread)
		tr.synced = succeeded
	}
}

func (tr *trace) say(what, call string) {
	if what == "begin" {
		tr.call, tr.written, tr.synced = call, false, false
		return
	}
	tr.calls++
	if !tr.written {
		tr.t.Errorf("call %q was acknowledged without a write to the log", tr.call)
	}
	if !tr.synced {
		tr.t.Errorf("call %q was acknowledged before its write to the log was synced", tr.call)
	}
}
