package checkpoint

import (
	"bufio"
	"fmt"
	"os"
	"os/exec"
	"strings"
	"testing"

	"vicreg/models/tensor"
	"vicreg/pipeline/whole"
)

const childEnv = "VICREG_TEST_CHECKPOINT_DIR"

// noisy prints a letter before each disk operation.
type noisy struct{ *os.File }

func (f noisy) Write(p []byte) (int, error) { fmt.Print("w"); return f.File.Write(p) }
func (f noisy) Sync() error                 { fmt.Print("s"); return f.File.Sync() }
func (f noisy) Close() error                { fmt.Print("c"); return f.File.Close() }

// large returns a checkpoint filled with its step that takes several writes.
func large(step int64) *Checkpoint {
	c := at(step)
	data := make([]float32, 300_000)
	for i := range data {
		data[i] = float32(step)
	}
	c.Tensors = map[string]*tensor.Tensor{"x": tensor.Of(data)}
	return c
}

// TestMain also lets the test binary act as the process that TestKill kills.
func TestMain(m *testing.M) {
	if dir := os.Getenv(childEnv); dir != "" {
		fmt.Println(saveForever(dir))
		os.Exit(1)
	}
	os.Exit(m.Run())
}

func saveForever(dir string) error {
	for step := int64(1); ; step++ {
		_, err := save(dir, large(step), func(path string) (whole.File, error) {
			f, err := os.Create(path)
			return noisy{f}, err
		})
		if err != nil {
			return err
		}
		fmt.Print("d")
	}
}

// TestKill kills a process after each disk operation of its third save: earlier checkpoints must be
// intact, and a new save cleans up.
func TestKill(t *testing.T) {
	const operations = 9 // of one save: header, five chunks, sync, close; then the end
	for extra := range operations {
		dir := t.TempDir()
		child := exec.Command(os.Args[0])
		child.Env = append(os.Environ(), childEnv+"="+dir)
		out, err := child.StdoutPipe()
		if err != nil {
			t.Fatal(err)
		}
		if err := child.Start(); err != nil {
			t.Fatal(err)
		}
		log := readLog(bufio.NewReader(out), 2*operations+extra+1, func() { child.Process.Kill() })
		child.Wait()
		done := int64(strings.Count(log, "d"))
		c, warnings, err := Latest(dir)
		if err != nil || len(warnings) > 0 {
			t.Fatalf("killed after %q: %v %v", log, err, warnings)
		}
		step := c.Position.Step
		if done < 2 || step < done || step > done+1 {
			t.Errorf("killed after %q: latest step is %d", log, step)
		}
		for _, v := range c.Tensors["x"].Float32() {
			if v != float32(step) {
				t.Fatalf("step %d holds %v", step, v)
			}
		}
		mustSave(t, dir, step+1)
		if got := len(strings.Fields(names(t, dir))); got != 2 {
			t.Errorf("left in the folder: %s", names(t, dir))
		}
	}
}

// readLog reads to the end and calls kill after n letters.
func readLog(r *bufio.Reader, n int, kill func()) string {
	var log strings.Builder
	for {
		b, err := r.ReadByte()
		if err != nil {
			return log.String()
		}
		log.WriteByte(b)
		if log.Len() == n {
			kill()
		}
	}
}
