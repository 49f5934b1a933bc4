package main

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"time"

	"vicreg/models/ort"
	"vicreg/pipeline/dataset"
	"vicreg/pipeline/encoder"
	"vicreg/scripts/bench/peer"
)

// bulk compares indexing a folder of images with writing their vectors to a file, and with the bare
// encoder on prepared pixels: for small images that are cheap to decode, and for photographs at 224
// pixels.
func bulk(ctx context.Context, b *bench) error {
	err := b.bulkOf(ctx, "", b.images, b.vectors.model)
	if b.photos == "" || b.quick {
		return err
	}
	folder, failed := b.copies(5)
	if failed != nil {
		return errors.Join(err, failed)
	}
	model := filepath.Join(b.work, "photos.onnx")
	if failed := drawModel(model, 224); failed != nil {
		return errors.Join(err, failed)
	}
	return errors.Join(err, b.bulkOf(ctx, "_photos", folder, model))
}

// copies makes a folder with several copies of each photograph: a single pass would be too short.
func (b *bench) copies(times int) (string, error) {
	folder := filepath.Join(b.work, "photos")
	if err := os.MkdirAll(folder, 0o777); err != nil {
		return "", err
	}
	paths, err := filepath.Glob(filepath.Join(b.photos, "*.jpg"))
	if err != nil {
		return "", err
	}
	for _, path := range paths {
		file, err := os.ReadFile(path)
		if err != nil {
			return "", err
		}
		for i := range times {
			if err := os.WriteFile(filepath.Join(folder, fmt.Sprint(i, "-", filepath.Base(path))), file, 0o666); err != nil {
				return "", err
			}
		}
	}
	return folder, nil
}

// bulkOf compares on the images of a folder and a model.
func (b *bench) bulkOf(ctx context.Context, suffix, images, model string) error {
	set, err := dataset.Open(ctx, images, dataset.Options{Index: dataset.NoIndex})
	if err != nil {
		return err
	}
	n := float64(set.Len())
	alone, err := b.startEncoder(model)
	if err != nil {
		return err
	}
	defer alone.Stop()
	var bare, embedded, indexed []float64
	for range max(1, b.rounds/2) {
		var a answer
		if err := alone.Ask(fmt.Sprint(max(0.5, 5*b.turn.Seconds())), &a); err != nil {
			return err
		}
		embed, err := b.command(ctx, "embed", images, "--model", model, "-o", filepath.Join(b.work, "bulk.npy"), "--force")
		if err != nil {
			return err
		}
		path := filepath.Join(b.work, "bulk.index")
		removeIndex(path)
		add, err := b.command(ctx, "index", "add", images, "--model", model, "--index", path)
		if err != nil {
			return err
		}
		bare, embedded, indexed = append(bare, a.rate()), append(embedded, n/embed.Seconds()), append(indexed, n/add.Seconds())
	}
	overBare, overEmbed := paired(indexed, bare), paired(indexed, embedded)
	say("%.0f images, commands from start to end: %.1f a second into an index; vicreg embed %.1f, ours over it %.3f; the encoder alone %.1f, ours over it %.3f",
		n, peer.Median(indexed), peer.Median(embedded), overEmbed, peer.Median(bare), overBare)
	b.figures.Add("bulk_images"+suffix, peer.Median(indexed))
	b.figures.Add("bulk_ratio"+suffix, overBare)
	b.figures.Add("bulk_ratio_embed"+suffix, overEmbed)
	return nil
}

// command times a run of vicreg from start to end.
func (b *bench) command(ctx context.Context, args ...string) (time.Duration, error) {
	begin := time.Now()
	out, err := exec.CommandContext(ctx, b.vicreg, args...).CombinedOutput()
	if err != nil {
		return 0, fmt.Errorf("vicreg %s: %w: %s", args[0], err, out)
	}
	return time.Since(begin), nil
}

// encodeBatch is the batch size with which vicreg encodes.
const encodeBatch = 32

// encodeAlone is the bare encoder, as a process: it answers SECONDS with the number of images that
// it encoded in that time.
func encodeAlone(model string) error {
	lib, err := openRuntime()
	if err != nil {
		return err
	}
	enc, err := encoder.Open(lib, model, ort.Options{Threads: ort.Cores()})
	if err != nil {
		return err
	}
	defer enc.Close()
	pixels := make([]uint8, encodeBatch*enc.Size()*enc.Size()*3)
	for i := range pixels {
		pixels[i] = uint8(i * 2654435761 >> 13)
	}
	out := json.NewEncoder(os.Stdout)
	if err := out.Encode(answer{}); err != nil {
		return err
	}
	for in := bufio.NewScanner(os.Stdin); in.Scan(); {
		seconds, err := strconv.ParseFloat(in.Text(), 64)
		if err != nil {
			return err
		}
		var a answer
		for begin := time.Now(); a.Seconds < seconds; a.Seconds = time.Since(begin).Seconds() {
			if _, err := enc.Encode(context.Background(), pixels, encodeBatch); err != nil {
				return err
			}
			a.N += encodeBatch
		}
		if err := out.Encode(a); err != nil {
			return err
		}
	}
	return nil
}

func (b *bench) startEncoder(model string) (*peer.Process, error) {
	text, err := json.Marshal(role{Model: model})
	if err != nil {
		return nil, err
	}
	return peer.Start("the encoder", nil, os.Args[0], "-role", string(text))
}
