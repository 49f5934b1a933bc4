package pipeline

import (
	"errors"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"vicreg/pipeline/checkpoint"
	"vicreg/pipeline/usage"
)

func TestAFolderBelongsToOneProcessAtATime(t *testing.T) {
	data, out := writeImages(t, 12), t.TempDir()
	lock, err := claimFolder(out)
	if err != nil {
		t.Fatal(err)
	}
	_, err = train(t, t.Context(), "--data", data, "--out", out)
	var wrong *usage.Error
	if !errors.As(err, &wrong) || !strings.Contains(err.Error(), "another vicreg train is running in") {
		t.Fatalf("got %v", err)
	}
	if left, _ := os.ReadDir(out); len(left) > 0 {
		t.Errorf("the second one wrote %v", left)
	}
	if err := lock.Close(); err != nil {
		t.Fatal(err)
	}
	if _, err := train(t, t.Context(), "--data", data, "--out", out, "--epochs", "1"); err != nil {
		t.Error(err)
	}
}

// meanwhile runs vicreg train and, at its first warning, which comes after it has looked at the
// folder and before it changes anything, calls do. It returns the error and whether do was called.
func meanwhile(t *testing.T, do func(), args ...string) (called bool, err error) {
	t.Helper()
	stderr := &printer{}
	stderr.do = func([]byte) {
		if !called {
			called = true
			do()
		}
	}
	err = Train(t.Context(), smallRun(t, args), io.Discard, stderr)
	return called, err
}

// saveAt saves a run's newest checkpoint, or one of no content, as that of a later step.
func saveAt(t *testing.T, run string, step int64) {
	t.Helper()
	c, _, err := checkpoint.Latest(run)
	if errors.Is(err, checkpoint.ErrNone) {
		c, err = &checkpoint.Checkpoint{Config: []byte("{}")}, os.MkdirAll(run, 0o777)
	}
	if err != nil {
		t.Fatal(err)
	}
	c.Position.Step = step
	if _, err := checkpoint.Save(run, c); err != nil {
		t.Fatal(err)
	}
}

// takesOver returns the two ways in which a command takes over a run; both print a warning first.
func takesOver(t *testing.T, run string) [][]string {
	deep, _ := depths(t, 16)
	return [][]string{
		{"--out", run, "--resume", "--epochs", "3"},
		{"--out", run, "--force", "--data", deep, "--holdout", "0"},
	}
}

// A process that starts while another one trains stops, even if the other ends right afterwards
// with a newer checkpoint, as when a scheduler requeues a job.
func TestTakingOverARunThatIsAboutToEnd(t *testing.T) {
	data, out := writeImages(t, 16), t.TempDir()
	stepwise(t, data, out, 1)
	for _, args := range takesOver(t, out) {
		lock, err := claimFolder(out)
		if err != nil {
			t.Fatal(err)
		}
		_, err = meanwhile(t, func() {
			saveAt(t, out, 77)
			lock.Close()
		}, args...)
		lock.Close()
		var wrong *usage.Error
		if !errors.As(err, &wrong) || !strings.Contains(err.Error(), "another vicreg train is running in "+out) {
			t.Errorf("%v: got %v", args, err)
		}
	}
}

// Where the file system does not support locks, or the folder did not exist yet to be locked,
// checkpoints written by another process in the meantime are noticed and stay.
func TestTakingOverARunThatHasMovedOn(t *testing.T) {
	data, out, fresh := writeImages(t, 16), t.TempDir(), filepath.Join(t.TempDir(), "new")
	stepwise(t, data, out, 1)
	commands := takesOver(t, out)
	for _, args := range append(commands, append([]string{"--out", fresh}, commands[1][2:]...), append([]string{"--out", fresh + "er"}, commands[1][3:]...)) {
		called, err := meanwhile(t, func() { saveAt(t, args[1], 77) }, args...)
		want := "another vicreg train has written checkpoints into " + args[1] + " since this one started: start again"
		var wrong *usage.Error
		if !called || !errors.As(err, &wrong) || err.Error() != want {
			t.Errorf("%v: got %v", args, err)
		}
		if step := latest(t, args[1]).Position.Step; step != 77 {
			t.Errorf("%v: left the checkpoint of step %d", args, step)
		}
		if err := os.RemoveAll(filepath.Join(args[1], "checkpoint-77.safetensors")); err != nil {
			t.Fatal(err)
		}
	}
}

// The run is locked before its images are looked for, which may take minutes.
func TestAFolderIsClaimedBeforeImagesAreIndexed(t *testing.T) {
	out := t.TempDir()
	lock, err := claimFolder(out)
	if err != nil {
		t.Fatal(err)
	}
	defer lock.Close()
	_, err = train(t, t.Context(), "--data", filepath.Join(out, "none"), "--out", out)
	if err == nil || !strings.Contains(err.Error(), "another vicreg train is running in") {
		t.Errorf("got %v", err)
	}
}
