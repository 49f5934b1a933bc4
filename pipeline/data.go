package pipeline

import (
	"context"
	"flag"
	"fmt"
	"io"

	"vicreg/pipeline/usage"
)

// Data inspects images before a run: vicreg data check, vicreg data preview.
func Data(ctx context.Context, args []string, stdout, stderr io.Writer) error {
	word := ""
	if len(args) > 0 {
		word, args = args[0], args[1:]
	}
	switch word {
	case "check":
		return usage.Of("data check", dataCheck(ctx, args, stdout, stderr))
	case "preview":
		return usage.Of("data preview", dataPreview(ctx, args, stdout))
	case "-h", "-help", "--help":
		io.WriteString(stdout, `Check the images of a data set before training.

Usage:
  vicreg data check DIR...    find bad and duplicate files; report sizes, mean and std
  vicreg data preview DIR...  draw the augmented views that training would see

Run vicreg data COMMAND --help for more.
`)
		return flag.ErrHelp
	case "":
		return usage.Errorf("want check or preview")
	}
	hint := ""
	if near := usage.Closest(word, []string{"check", "preview"}); near != "" {
		hint = fmt.Sprintf("; did you mean %s?", near)
	}
	return usage.Errorf("unknown command %q: want check or preview%s", word, hint)
}
