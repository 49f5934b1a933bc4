package pipeline

import (
	"fmt"
	"io"
	"strings"
	"testing"

	"vicreg/pipeline/usage"
)

// The defaults chosen for a run with the given number of images.
func TestPlan(t *testing.T) {
	const laptop = "--image-size 32 --width 16 --batch 128 "
	for _, c := range []struct {
		flags  string
		images int
		want   string
	}{
		{laptop + "--epochs 8", 1891, "adamw (for fewer than 10000 steps), betas 0.9 and 0.999, eps 1e-08, weight decay 0.01, peak lr 0.002 (for width 16 and an expander of 2048), warm-up for 56 of 112 steps"},
		{laptop + "--epochs 10", 9500, "adamw (for fewer than 10000 steps), betas 0.9 and 0.999, eps 1e-08, weight decay 0.01, peak lr 0.002 (for width 16 and an expander of 2048), warm-up for 200 of 740 steps"},
		{laptop + "--epochs 8 --optimizer lars", 1891, "lars, momentum 0.9, trust 0.02 clipped at lr, weight decay 0.0001, peak lr 0.15 (0.3 per 256 images), warm-up for 56 of 112 steps"},
		{laptop + "--epochs 8 --recipe imagenet --optimizer lars", 1891, "lars, momentum 0.9, trust 0.02 clipped at lr, weight decay 0.0001, peak lr 0.15 (0.3 per 256 images), warm-up for 56 of 112 steps"},
		{"--recipe cifar", 1281167, "lars (for 10000 steps or more), momentum 0.9, trust 0.001, weight decay 1e-06, peak lr 0.5 (0.5 per 256 images), warm-up for 50040 of 500400 steps"},
		{"", 2000, "adamw (for fewer than 10000 steps), betas 0.9 and 0.999, eps 1e-08, weight decay 0.01, peak lr 0.0005 (for width 64 and an expander of 8192), warm-up for 200 of 700 steps"},
		{"--init w.safetensors --clip-norm 5", 2000, "adamw (for pretrained weights), betas 0.9 and 0.999, eps 1e-08, weight decay 0.01, gradients clipped to a norm of 5, peak lr 0.0001 (for width 64 and an expander of 8192, a fifth of it for pretrained weights), warm-up for 350 of 700 steps"},
		{"--lr 0.1 --warmup 2 --weight-decay 0 --optimizer sgd", 2000, "sgd, momentum 0.9, weight decay 0, peak lr 0.1 (given), warm-up for 14 of 700 steps"},
	} {
		f, fs := newTrainFlags(io.Discard)
		if err := usage.Parse(fs, append(strings.Fields(c.flags), "--data", "d", "--out", "r")); err != nil {
			t.Fatal(err)
		}
		if err := f.resolve(func(name string) bool { return usage.Given(fs, name) }); err != nil {
			t.Fatal(err)
		}
		why, err := f.plan(c.images)
		if got := why.describe(f.Optimizer, f.Schedule); err != nil || got != c.want {
			t.Errorf("%s of %d images:\n%s, want\n%s (%v)", c.flags, c.images, got, c.want, err)
		}
	}
}

// A resumed run keeps its settings, even if a new run would get different ones.
func TestResumeKeepsTheOptimizer(t *testing.T) {
	data, out := writeImages(t, 20), t.TempDir()
	if printed, err := train(t, t.Context(), "--data", data, "--out", out, "--optimizer", "lars", "--warmup", "0.5", "--time-limit", "1ns"); err != nil {
		t.Fatal(printed, err)
	}
	before := configOf(t, out)
	printed, err := train(t, t.Context(), "--out", out, "--resume")
	if want := "optimizer  lars, momentum 0.9, trust 0.02 clipped at lr, weight decay 0.0001, peak lr 0.05 (as before), warm-up for 1 of 4 steps\n"; err != nil || !strings.Contains(printed, want) {
		t.Errorf("%v, no %q in\n%s", err, want, printed)
	}
	if after := configOf(t, out); fmt.Sprint(after.Optimizer, after.Schedule) != fmt.Sprint(before.Optimizer, before.Schedule) {
		t.Errorf("%+v, %+v, were %+v, %+v", after.Optimizer, after.Schedule, before.Optimizer, before.Schedule)
	}
}
