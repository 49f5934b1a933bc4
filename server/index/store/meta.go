package store

import (
	"context"
	"database/sql/driver"
	"encoding/binary"
	"fmt"
	"hash/crc32"
	"math"
)

// values returns the meta values in which a file stores an About.
func (a About) values() map[string][]byte {
	values := map[string][]byte{metaFingerprint: []byte(a.Fingerprint), metaDim: binary.LittleEndian.AppendUint32(nil, uint32(a.Dim))}
	if a.Center != nil {
		var b []byte
		for _, x := range a.Center {
			b = binary.LittleEndian.AppendUint32(b, math.Float32bits(x))
		}
		values[metaCenter] = b
	}
	return values
}

// set decodes an About from its meta values, and reports whether they are valid.
func (a *About) set(fingerprint, dim, center []byte) bool {
	if len(fingerprint) == 0 || len(dim) != 4 {
		return false
	}
	a.Fingerprint, a.Dim = string(fingerprint), int(binary.LittleEndian.Uint32(dim))
	if center != nil {
		a.Center = floats(nil, center)
	}
	return a.Dim > 0 && (center == nil || len(center) == 4*a.Dim)
}

// ownMeta prefixes the names of callers, to separate them from the store's own.
const ownMeta = "user."

// Meta returns a small value stored beside the rows, nil if there is none of this name.
func (s *Store) Meta(ctx context.Context, name string) (value []byte, err error) {
	err = s.read(ctx, "read from index", func(c *conn) error {
		value, err = meta(ctx, c, ownMeta+name)
		return err
	})
	return value, err
}

// SetMeta stores a small value beside the rows, or removes it if value is nil. The change is on
// the disk when it returns.
func (s *Store) SetMeta(ctx context.Context, name string, value []byte) error {
	return s.write(ctx, func(w *writer) error { return setMeta(w.conn, ownMeta+name, value) })
}

func setMeta(c *conn, name string, value []byte) error {
	query, args := "INSERT OR REPLACE INTO meta (name, sum, value) VALUES (?, ?, ?)", []driver.Value{name, metaSum(name, value), value}
	if value == nil {
		query, args = "DELETE FROM meta WHERE name = ?", args[:1]
	}
	_, err := c.ExecContext(context.Background(), query, named(args))
	return err
}

func meta(ctx context.Context, c *conn, name string) (value []byte, err error) {
	err = each(ctx, c, "SELECT name, sum, value FROM meta WHERE name = ?", func(values []driver.Value) error {
		value, err = checkMeta(values)
		return err
	}, name)
	return value, err
}

// checkMeta verifies the checksum of a row of the meta table and returns its value.
func checkMeta(values []driver.Value) ([]byte, error) {
	name, _ := values[0].(string)
	value, ok := values[2].([]byte)
	if !ok || values[1] != any(metaSum(name, value)) {
		return nil, fmt.Errorf("%w: its value %q fails its checksum", ErrDamaged, name)
	}
	return value, nil
}

func metaSum(name string, value []byte) int64 {
	return int64(crc32.Update(crc32.Checksum([]byte(name+"\x00"), castagnoli), castagnoli, value))
}
