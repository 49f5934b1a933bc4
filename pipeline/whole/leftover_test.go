package whole

import (
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
)

const (
	childEnv    = "VICREG_TEST_WHOLE_WRITE" // the path that a child process writes to
	togetherEnv = "VICREG_TEST_WHOLE_TOGETHER"
)

// TestMain also lets the test binary act as the process that TestKilledWriters kills.
func TestMain(m *testing.M) {
	if path := os.Getenv(childEnv); path != "" {
		fmt.Println(writeHalf(path, os.Getenv(togetherEnv) != ""))
		os.Exit(1)
	}
	os.Exit(m.Run())
}

// writeHalf begins to write path, prints a line and waits for the end of the input.
func writeHalf(path string, together bool) error {
	half := func(w io.Writer) error {
		fmt.Fprint(w, strings.Repeat("x", 1<<16))
		fmt.Println("half")
		_, err := io.ReadAll(os.Stdin)
		return err
	}
	if together {
		return Together(path, Part{Write: put("first", nil)}, Part{Ending: ".json", Write: half})
	}
	return Write(path, half)
}

// What a writer leaves when it is killed is removed by the next one, and not while it lives.
func TestKilledWriters(t *testing.T) {
	for _, together := range []string{"", "yes"} {
		dir := t.TempDir()
		path := filepath.Join(dir, "v")
		child := exec.Command(os.Args[0])
		child.Env = append(os.Environ(), childEnv+"="+path, togetherEnv+"="+together)
		in, err := child.StdinPipe()
		if err != nil {
			t.Fatal(err)
		}
		defer in.Close()
		out, err := child.StdoutPipe()
		if err != nil {
			t.Fatal(err)
		}
		if err := child.Start(); err != nil {
			t.Fatal(err)
		}
		if said, err := io.ReadAll(io.LimitReader(out, 5)); err != nil || string(said) != "half\n" {
			t.Fatalf("the child says %q, %v", said, err)
		}
		if err := WriteFile(path, []byte("ours")); err != nil || strings.Count(namesOf(t, dir), "=") != 2 {
			t.Errorf("beside a living writer: %v, left %.99s", err, namesOf(t, dir))
		}
		child.Process.Kill()
		child.Wait()
		next := func() error { return WriteFile(path, []byte("ours")) }
		if together != "" {
			next = func() error { return Together(path, Part{Write: put("ours", nil)}) }
		}
		if err := next(); err != nil || namesOf(t, dir) != "v=ours" {
			t.Errorf("after a killed one: %v, left %.99s", err, namesOf(t, dir))
		}
	}
}

// Only files and folders with the name of a temporary one of the same path are removed, and no
// folder that may hold the only copy of something.
func TestSweepIsCareful(t *testing.T) {
	dir := t.TempDir()
	folder := func(name string, files ...string) {
		if err := os.Mkdir(filepath.Join(dir, name), 0o777); err != nil {
			t.Fatal(err)
		}
		fill(t, filepath.Join(dir, name), "x", files...)
	}
	fill(t, dir, "gone", "v.1.vicreg.tmp", "v.4294967295.vicreg.tmp")
	folder("v.2.vicreg.tmp")
	folder("v.3.vicreg.tmp", "v", "v.json", "v.paths.7.vicreg.tmp")
	fill(t, dir, "kept", "v.tmp", "v.1.tmp", "v..vicreg.tmp", "v.a.vicreg.tmp", "v.-1.vicreg.tmp", "v.x.1.vicreg.tmp",
		"vv.1.vicreg.tmp", "v1.vicreg.tmp", "v.1.vicreg.tmp.gz", "other")
	folder("v.4.vicreg.tmp", "v", "v.old")
	folder("v.5.vicreg.tmp", "v", "notes")
	folder("v.6.vicreg.tmp", "v")
	folder("v.6.vicreg.tmp/v.folder")
	if err := os.Symlink("other", filepath.Join(dir, "v.7.vicreg.tmp")); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink("v.4.vicreg.tmp", filepath.Join(dir, "v.8.vicreg.tmp")); err != nil {
		t.Fatal(err)
	}
	if err := syscall.Mkfifo(filepath.Join(dir, "v.9.vicreg.tmp"), 0o600); err != nil {
		t.Fatal(err)
	}
	sweep(filepath.Join(dir, "v"))
	entries, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	var left []string
	for _, e := range entries {
		left = append(left, e.Name())
	}
	want := "other v.-1.vicreg.tmp v..vicreg.tmp v.1.tmp v.1.vicreg.tmp.gz v.4.vicreg.tmp v.5.vicreg.tmp v.6.vicreg.tmp " +
		"v.7.vicreg.tmp v.8.vicreg.tmp v.9.vicreg.tmp v.a.vicreg.tmp v.tmp v.x.1.vicreg.tmp v1.vicreg.tmp vv.1.vicreg.tmp"
	if got := strings.Join(left, " "); got != want {
		t.Errorf("left %s\nwant %s", got, want)
	}
	for folder, want := range map[string]string{"v.4.vicreg.tmp": "v=x v.old=x", "v.5.vicreg.tmp": "notes=x v=x", "v.6.vicreg.tmp": "v=x v.folder=a folder"} {
		if got := namesOf(t, filepath.Join(dir, folder)); got != want {
			t.Errorf("%s holds %s, want %s", folder, got, want)
		}
	}
}

// Writers of one path do not remove what the others are about to rename.
func TestManyWriters(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "v")
	var group sync.WaitGroup
	for i := range 8 {
		group.Go(func() {
			for range 25 {
				write := func() error { return WriteFile(path, []byte("text")) }
				if i%2 == 1 {
					write = func() error { return Together(path+"s", Part{Write: put("text", nil)}) }
				}
				if err := write(); err != nil {
					t.Error(err)
				}
			}
		})
	}
	group.Wait()
	if got := namesOf(t, dir); got != "v=text vs=text" {
		t.Errorf("left %s", got)
	}
}
