package store

import (
	"context"
	"encoding/binary"
	"fmt"
)

// metaLastKey stores the highest key ever assigned, once its row has been removed: until then the
// row itself records it.
const metaLastKey = "last key"

// lastKey returns the highest assigned key that the file records.
func lastKey(c *conn) (int64, error) {
	last, err := number(c, "SELECT max(coalesce((SELECT max(key) FROM items), 0), coalesce((SELECT max(key) FROM thumbnails), 0))")
	if err != nil {
		return 0, err
	}
	kept, err := meta(context.Background(), c, metaLastKey)
	if err != nil || kept == nil { // the last key's row was never removed, or by an older version
		return last, err
	}
	if len(kept) != 8 {
		return 0, fmt.Errorf("%w: its last key has %d bytes", ErrDamaged, len(kept))
	}
	return max(last, int64(binary.LittleEndian.Uint64(kept))), nil
}

func setLastKey(c *conn, key int64) error {
	return setMeta(c, metaLastKey, binary.LittleEndian.AppendUint64(nil, uint64(key)))
}

// reserve makes the store assign only keys above key, also after it is reopened.
func (s *Store) reserve(ctx context.Context, key int64) error {
	return s.write(ctx, func(w *writer) error {
		if w.next <= key {
			w.next, w.bare = key+1, true
		}
		return nil
	})
}
