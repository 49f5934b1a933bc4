package main

import (
	"context"
	"fmt"
	"os"
)

// memory measures how much a process grows by opening an index and searching it, relative to the
// vectors in float32 and to the 8-bit codes that searches use.
func memory(ctx context.Context, b *bench) error {
	for _, n := range b.sizes() {
		path, err := b.filled(ctx, n)
		if err != nil {
			return err
		}
		ours, hello, err := b.ours(path, 2)
		if err != nil {
			return err
		}
		defer ours.Stop()
		var a answer
		for _, command := range []string{fmt.Sprintf("single %g", b.turn.Seconds()), fmt.Sprintf("batch 32 %g", b.turn.Seconds()), "memory"} {
			if err := ours.Ask(command, &a); err != nil {
				return err
			}
		}
		info, err := os.Stat(path)
		if err != nil {
			return err
		}
		numbers := float64(n) * float64(b.vectors.dim)
		grown := a.RSS - hello.RSS
		say("%d vectors: open in %.2f s, sketched in %.2f; memory %.0f MB, %.3f of the float32 and int8 vectors, %.3f of float32; file %.0f MB",
			n, hello.Seconds, hello.Sketched, grown/1e6, grown/(5*numbers), grown/(4*numbers), float64(info.Size())/1e6)
		b.figures.Add("memory"+b.suffix(n), grown/(5*numbers))
		b.figures.Add("load_s"+b.suffix(n), hello.Seconds)
		b.figures.Add("sketch_s"+b.suffix(n), hello.Sketched)
		b.figures.Add("file_mb"+b.suffix(n), float64(info.Size())/1e6)
	}
	return nil
}
