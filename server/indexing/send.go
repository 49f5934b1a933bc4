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

// How images go to a server: in requests of some images, so that it has a batch for
// its model, and of a few MiB, more than one at a time, so that it need not wait.
const (
	sendItems = 32
	sendBytes = 16 << 20
	sendAhead = 2
)

// images reads the files and sends those that the plan wants.
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
			p.refuse(a.id, fmt.Sprintf("its file of %d bytes is over what the server takes in a request, %d", len(e.Image), r.room))
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

// read reads an image and settles what it asks for; leave when there is nothing to send.
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
	if len(data) == 0 { // as an entry it would be one without an image
		_, err := imaging.Decode(data, bulk.Limits)
		p.refuse(a.id, err.Error())
		return leave, entry{}
	}
	return do, entry{ID: a.id, Image: data, Metadata: p.metadata(a), Source: a.source}
}

// sizeOf is about how many bytes of a request an entry takes.
func sizeOf(e entry) int64 {
	const around = 256
	return int64(base64.StdEncoding.EncodedLen(len(e.Image)) + 14*len(e.Vector) + len(e.Metadata) + len(e.ID) + len(e.Source) + around)
}
