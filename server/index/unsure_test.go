package index_test

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"testing"

	"vicreg/server/index"
)

// togetherItems is the number of calls that together makes.
const togetherItems = 3

// together stores items by calls that are written together, and prints the error of each.
func together(f *index.File) error {
	runtime.LockOSThread() // strace counts calls per thread
	var items []index.Item
	for n := range togetherItems {
		v := make([]float32, childDim)
		v[n] = 1
		items = append(items, index.Item{ID: fmt.Sprint(n), Vector: v})
	}
	failed, err := f.UpsertTogether("default", items...)
	for _, e := range failed {
		fmt.Println("unsure:", errors.Is(e, index.ErrUnsure))
	}
	return err
}

// If what was written together may take effect after a crash, every one of the calls says so.
func TestUnsureTogether(t *testing.T) {
	strace, err := exec.LookPath("strace")
	if err != nil {
		t.Skip("strace is not installed")
	}
	path := filepath.Join(t.TempDir(), "x.index")
	open(t, path, index.Options{Binding: childBinding(), Create: true}).Close()
	calls := "/^f(data)?sync$" // the first one of the log is of its header
	c := exec.Command(strace, "-f", "-o", os.DevNull, "-P", path+"-wal", "-e", "trace="+calls, "-e", "inject="+calls+":error=EIO:when=2+", os.Args[0])
	c.Env = append(os.Environ(), childEnv+"=together", pathEnv+"="+path, roundEnv+"=0")
	out, err := c.CombinedOutput()
	if strings.Contains(string(out), "ptrace") {
		t.Skipf("strace may not trace here: %v %s", err, out)
	}
	if n := strings.Count(string(out), "unsure: true\n"); n != togetherItems {
		t.Errorf("%d of %d calls say that they may take effect: %v\n%s", n, togetherItems, err, out)
	}
	if f := open(t, path, index.Options{}); f.Len() != togetherItems && f.Len() != 0 {
		t.Errorf("%d items are there", f.Len())
	}
}
