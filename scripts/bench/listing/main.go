// Command listing makes many small JPEG files with EXIF blocks and measures the time to index them.
// scripts/bench/listing.sh runs it.
package main

import (
	"bytes"
	"context"
	"encoding/binary"
	"flag"
	"fmt"
	"image"
	"image/jpeg"
	"math/rand/v2"
	"os"
	"path/filepath"
	"runtime"
	"syscall"
	"time"

	"golang.org/x/sync/errgroup"

	"vicreg/pipeline/dataset"
)

const (
	folders  = 1000
	variants = 256 // distinct images; every file is a copy of one
)

func main() {
	dir := flag.String("dir", "", "folder of the files")
	files := flag.Int("files", 1_000_000, "how many to make")
	index := flag.String("index", "", "index file; without it the files are made")
	flag.Parse()
	err := error(nil)
	if *index == "" {
		err = build(*dir, *files)
	} else {
		err = open(*dir, *index)
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "listing:", err)
		os.Exit(1)
	}
}

// build makes the files unless they exist.
func build(dir string, n int) error {
	pictures := make([][]byte, variants)
	for i := range pictures {
		pictures[i] = picture(i)
	}
	var group errgroup.Group
	group.SetLimit(runtime.GOMAXPROCS(0))
	for f := range folders {
		group.Go(func() error {
			folder := filepath.Join(dir, fmt.Sprintf("n%08d", f*7919))
			if err := os.MkdirAll(folder, 0o777); err != nil {
				return err
			}
			for i := f; i < n; i += folders {
				path := filepath.Join(folder, fmt.Sprintf("n%08d_%d.JPEG", f*7919, i/folders))
				if err := os.WriteFile(path, pictures[i*31%variants], 0o666); err != nil {
					return err
				}
			}
			return nil
		})
	}
	return group.Wait()
}

// picture returns a JPEG file of a few kilobytes with an EXIF block.
func picture(seed int) []byte {
	r := rand.New(rand.NewPCG(uint64(seed), 1))
	m := image.NewGray(image.Rect(0, 0, 64+r.IntN(64), 64+r.IntN(64)))
	for i := range m.Pix {
		m.Pix[i] = uint8(i*seed>>4 + r.IntN(24))
	}
	var b bytes.Buffer
	if err := jpeg.Encode(&b, m, &jpeg.Options{Quality: 60}); err != nil {
		panic(err)
	}
	block := exif(uint16(1+r.IntN(8)), r.IntN(2500))
	return append(append([]byte("\xff\xd8"), block...), b.Bytes()[2:]...)
}

// exif returns an APP1 segment with an orientation and a comment.
func exif(orientation uint16, comment int) []byte {
	tiff := []byte("MM\x00*\x00\x00\x00\x08\x00\x02")
	be := binary.BigEndian
	tiff = append(be.AppendUint16(append(tiff, 1, 0x12, 0, 3, 0, 0, 0, 1), orientation), 0, 0)
	tiff = be.AppendUint32(append(tiff, 0x92, 0x86, 0, 7), uint32(comment))
	tiff = be.AppendUint32(tiff, 38)
	tiff = append(append(tiff, 0, 0, 0, 0), bytes.Repeat([]byte{'x'}, comment)...)
	segment := append([]byte("Exif\x00\x00"), tiff...)
	return append(be.AppendUint16([]byte("\xff\xe1"), uint16(len(segment)+2)), segment...)
}

// open indexes the files and prints their number, the time, and the peak memory.
func open(dir, index string) error {
	begin := time.Now()
	set, err := dataset.Open(context.Background(), dir, dataset.Options{Index: index, Dimensions: true})
	if err != nil {
		return err
	}
	took := time.Since(begin)
	for i := range set.Len() {
		if e := set.Entry(i); e.W < 64 || e.H < 64 || e.Size == 0 || e.Modified.IsZero() {
			return fmt.Errorf("%s: indexed as %+v", set.Key(i), e)
		}
	}
	var usage syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &usage); err != nil {
		return err
	}
	fmt.Printf("%d %.2f %.0f\n", set.Len(), took.Seconds(), float64(usage.Maxrss)/1024)
	return nil
}
