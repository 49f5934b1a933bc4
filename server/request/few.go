package request

import (
	"bytes"
	"encoding/json"
	"fmt"
)

// Few is a JSON list of at most mostFew values: otherwise a body of millions of empty objects would
// take forty times its size in memory.
type Few[T any] []T

const mostFew = 16

// UnmarshalJSON decodes the list one value at a time.
func (l *Few[T]) UnmarshalJSON(b []byte) error {
	*l = nil
	d := json.NewDecoder(bytes.NewReader(b))
	switch open, err := d.Token(); {
	case err != nil:
		return err
	case open == nil: // null
		return nil
	case open != json.Delim('['):
		return misfit[[]T](kindOf(b))
	}
	for d.More() {
		if len(*l) == mostFew {
			return fmt.Errorf("a list has more than %d values", mostFew)
		}
		var v T
		if err := d.Decode(&v); err != nil {
			return err
		}
		*l = append(*l, v)
	}
	return nil
}
