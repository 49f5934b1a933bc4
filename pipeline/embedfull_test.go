package pipeline

import (
	"errors"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
)

// fullEnv passes arguments to the test's child process, one per line: the maximum file size,
// followed by the arguments of embed.
const fullEnv = "VICREG_TEST_EMBED_WITHOUT_ROOM"

// If there is no room for the new vectors, the old ones stay, with the files beside them: no line
// of .paths refers to another row. A limit on the child's file size stands in for a full disk; the
// journal, with 4 bytes per number, stays below it, and JSON does not.
func TestEmbedWithoutRoomLeavesWhatWasThere(t *testing.T) {
	if lines, child := os.LookupEnv(fullEnv); child {
		args := strings.Split(lines, "\n")
		limitFiles(t, args[0])
		if printed, err := embed(t, t.Context(), args[1:]...); !errors.Is(err, syscall.EFBIG) {
			t.Fatal(printed, err)
		}
		return
	}
	few, many, dir := drawKinds(t, 1, 1), drawKinds(t, 10, 2), t.TempDir()
	model, file, large := someModel(t, few), filepath.Join(dir, "v.jsonl"), filepath.Join(t.TempDir(), "v.jsonl")
	for images, out := range map[string]string{few: file, many: large} {
		if printed, err := embed(t, t.Context(), images, "--model", model, "-o", out); err != nil {
			t.Fatal(printed, err)
		}
	}
	before := [2]string{string(readFile(t, file)), string(readFile(t, file+".json"))}
	room := strconv.Itoa(len(readFile(t, large)) * 3 / 4)
	cmd := exec.CommandContext(t.Context(), os.Args[0], "-test.run=^TestEmbedWithoutRoomLeavesWhatWasThere$")
	cmd.Env = append(os.Environ(), fullEnv+"="+strings.Join([]string{room, many, "--model", model, "-o", file, "--force"}, "\n"))
	if printed, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, printed)
	}
	if after := [2]string{string(readFile(t, file)), string(readFile(t, file+".json"))}; after != before {
		t.Error("old vectors have something new beside them")
	}
	// The journal is left for resuming.
	if left, err := os.ReadDir(dir); err != nil || len(left) != 3 || left[2].Name() != "v.jsonl.part" {
		t.Errorf("left %v, %v", left, err)
	}
}

// limitFiles makes writes beyond the given file size fail, for the rest of the process.
func limitFiles(t *testing.T, bytes string) {
	t.Helper()
	signal.Ignore(syscall.SIGXFSZ)
	limit := syscall.Rlimit{}
	most, err := strconv.ParseUint(bytes, 10, 64)
	if err = errors.Join(err, syscall.Getrlimit(syscall.RLIMIT_FSIZE, &limit)); err != nil {
		t.Fatal(err)
	}
	limit.Cur = most
	if err := syscall.Setrlimit(syscall.RLIMIT_FSIZE, &limit); err != nil {
		t.Fatal(err)
	}
}
