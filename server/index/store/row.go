package store

import (
	"database/sql/driver"
	"encoding/binary"
	"hash/crc32"
	"math"
)

// Row is the stored form of an item. nil is preserved in Metadata, Hash and Thumbnail.
type Row struct {
	Key       int64 // assigned by the store in the order of first upserts; never changed or reused
	Namespace string
	ID        string    // unique in its namespace
	Vector    []float32 // [D]
	Metadata  []byte    // JSON
	Source    string
	Hash      []byte
	Thumbnail []byte
	Pictured  bool // whether there is a thumbnail: set by Get, which omits the thumbnail itself
}

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// rowColumns are the columns that a codec decodes, in order.
const rowColumns = "key, namespace, id, source, metadata, hash, sum, vector"

// pictured is an optional further column.
const pictured = ", EXISTS (SELECT 1 FROM thumbnails WHERE thumbnails.key = items.key)"

// codec converts rows to and from their stored form. It reuses its memory.
type codec struct {
	dim    int
	vector []byte // encoded
	rest   []byte // the other data that is summed
	values [8]driver.Value
	row    Row
}

// encode returns the arguments of insert and update for a row. They are valid until the next
// call.
func (c *codec) encode(r *Row, key int64) []driver.Value {
	c.vector = c.vector[:0]
	for _, x := range r.Vector {
		c.vector = binary.LittleEndian.AppendUint32(c.vector, math.Float32bits(x))
	}
	c.values = [...]driver.Value{r.Namespace, r.ID, r.Source, nil, nil, int64(c.sum(r, c.vector)), c.vector, key}
	if r.Metadata != nil {
		c.values[3] = string(r.Metadata)
	}
	if r.Hash != nil {
		c.values[4] = r.Hash
	}
	return c.values[:]
}

// sum is the checksum of a row with an encoded vector. It does not cover the key, which is known
// only once the row is stored and which the index of ids holds as well.
func (c *codec) sum(r *Row, vector []byte) uint32 {
	b := c.rest[:0]
	for _, n := range [...]int{len(r.Namespace), len(r.ID), len(r.Source), len(r.Metadata), len(r.Hash)} {
		b = binary.LittleEndian.AppendUint32(b, uint32(n))
	}
	b = append(b, r.Namespace...)
	b = append(b, r.ID...)
	b = append(b, r.Source...)
	b = append(b, r.Metadata...)
	b = append(b, r.Hash...)
	c.rest = b
	return crc32.Update(crc32.Checksum(b, castagnoli), castagnoli, vector)
}

// decode verifies and decodes the values of a row; its only error is a *Damage. The row is valid
// until the next call, except for its strings and its hash.
func (c *codec) decode(values []driver.Value, vectors bool) (*Row, error) {
	r := &c.row
	var ok [7]bool
	var metadata string
	var sum int64
	var vector []byte
	r.Key, ok[0] = values[0].(int64)
	r.Namespace, ok[1] = values[1].(string)
	r.ID, ok[2] = values[2].(string)
	r.Source, ok[3] = values[3].(string)
	metadata, ok[4] = values[4].(string)
	r.Metadata = append(r.Metadata[:0], metadata...)
	if values[4] == nil {
		r.Metadata, ok[4] = nil, true
	}
	r.Hash, _ = values[5].([]byte)
	sum, ok[5] = values[6].(int64)
	vector, ok[6] = values[7].([]byte)
	if ok != [7]bool{true, true, true, true, true, true, true} || len(vector) != 4*c.dim || sum != int64(c.sum(r, vector)) {
		return nil, &Damage{Key: r.Key, Namespace: r.Namespace, ID: r.ID, Reason: failsChecksum}
	}
	if len(values) > 8 {
		n, _ := values[8].(int64)
		r.Pictured = n != 0
	}
	if r.Vector = r.Vector[:0]; vectors {
		r.Vector = floats(r.Vector, vector)
	}
	return r, nil
}

// floats decodes a vector, reusing the memory of v.
func floats(v []float32, b []byte) []float32 {
	if n := len(b) / 4; cap(v) < n {
		v = make([]float32, n)
	} else {
		v = v[:n]
	}
	for i := range v {
		v[i] = math.Float32frombits(binary.LittleEndian.Uint32(b[4*i:]))
	}
	return v
}

// thumbnailSum is the checksum of a thumbnail and its row's key.
func thumbnailSum(key int64, jpeg []byte) int64 {
	var b [8]byte
	binary.LittleEndian.PutUint64(b[:], uint64(key))
	return int64(crc32.Update(crc32.Checksum(b[:], castagnoli), castagnoli, jpeg))
}
