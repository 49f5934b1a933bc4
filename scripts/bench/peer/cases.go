package peer

import (
	"context"
	"errors"
	"fmt"
)

// Case is a part of a benchmark B that can be run on its own.
type Case[B any] struct {
	Name string
	Run  func(context.Context, B) error
}

// RunCases runs the chosen cases and prints the benchmark's last line. A failing case does not stop
// the others, and its measurements still appear in the last line. If ctx ends, no last line is
// printed.
func RunCases[B any](ctx context.Context, b B, chosen []Case[B], last func() string) error {
	var errs []error
	for _, c := range chosen {
		fmt.Printf("\n%s\n", c.Name)
		if err := c.Run(ctx, b); err != nil {
			errs = append(errs, fmt.Errorf("%s: %w", c.Name, err))
			fmt.Printf("  FAILED: %v\n", err)
		}
		if ctx.Err() != nil {
			return ctx.Err()
		}
	}
	fmt.Printf("\n%s\n", last())
	return errors.Join(errs...)
}
