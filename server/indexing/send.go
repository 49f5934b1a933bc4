package indexing

import (
	"context"
	"crypto/sha256"
	"encoding/base64"
	"fmt"

	"golang.org/x/sync/errgroup"

	"vicreg/pipeline/bulk"
	"vicreg/pipeline/dataset"
	"vicreg/pipeline/imaging"
)

// How images are sent to a server: in requests of enough images for a batch of its model, and of
// a few MiB, with several in flight, so that the server need not wait.
const (
	sendItems = 32
	sendBytes = 16 << 20
	sendAhead = 2
)

// images reads the files and sends those that the plan needs.
func (r *remote) images(ctx context.Context, set *dataset.Set, p *plan, done func()) error {
	group, sending := errgroup.WithContext(ctx)
	group.SetLimit(sendAhead)
	room := min(r.room, sendBytes)
	var batch []pending
	bytes := int64(0)
	flush := func() {
		full := batch
		batch, bytes = nil, 0
		group.Go(func() error {
			defer done()
			return p.store(sending, r, full)
		})
	}
	for i := range set.Len() {
		if sending.Err() != nil {
			break
		}
		a := p.addition(set, i)
		do, e := p.read(set, i, a)
		size := sizeOf(e)
		switch {
		case do == leave:
			done()
			continue
		case size > r.room:
			p.refuse(a.id, fmt.Sprintf("its file of %d bytes exceeds the %d that the server accepts in a request", len(e.Image), r.room))
			continue
		case len(batch) == min(sendItems, r.most), bytes+size > room && len(batch) > 0:
			flush()
		}
		batch, bytes = append(batch, pending{do, e}), bytes+size
	}
	if sending.Err() == nil {
		flush()
	}
	if err := group.Wait(); err != nil {
		return err
	}
	return ctx.Err()
}

// read reads an image and decides what to do with it; leave if there is nothing to send.
func (p *plan) read(set *dataset.Set, i int, a addition) (deed, entry) {
	data, err := set.ReadFile(i)
	if err != nil {
		p.refuse(a.id, err.Error())
		return leave, entry{}
	}
	do := p.judge(a, sha256.Sum256(data))
	if p.left(do, a) || p.unfit(a) {
		return leave, entry{}
	}
	if len(data) == 0 { // an entry with it would count as one without an image
		_, err := imaging.Decode(data, bulk.Limits)
		p.refuse(a.id, err.Error())
		return leave, entry{}
	}
	return do, entry{ID: a.id, Image: data, Metadata: p.metadata(a), Source: a.source}
}

// sizeOf returns roughly how many bytes of a request an entry takes.
func sizeOf(e entry) int64 {
	const around = 256
	return int64(base64.StdEncoding.EncodedLen(len(e.Image)) + 14*len(e.Vector) + len(e.Metadata) + len(e.ID) + len(e.Source) + around)
}
