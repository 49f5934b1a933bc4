package request

import (
	"bytes"
	"encoding/json"
	"fmt"
)

// Few is a list in JSON that has no more than mostFew values: a body of millions of
// empty objects would else take forty times its size.
type Few[T any] []T

const mostFew = 16

// UnmarshalJSON reads the list a value at a time.
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
