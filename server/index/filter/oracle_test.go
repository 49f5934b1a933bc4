package filter

import (
	"encoding/json"
	"math/rand/v2"
	"strings"
	"testing"
)

// lookUp finds a field in metadata as decoded by encoding/json: its values, and whether it is
// present. Like the rest of this oracle, it is written from the description of the language, and
// shares no code with the package.
func lookUp(at any, path string) (values []any, there bool) {
	switch at := at.(type) {
	case map[string]any:
		for key, x := range at {
			var more []any
			var ok bool
			if key == path {
				more, ok = flat(x), true
			} else if rest, below := strings.CutPrefix(path, key+"."); below {
				more, ok = lookUp(x, rest)
			}
			values, there = append(values, more...), there || ok
		}
	case []any:
		for _, x := range at {
			more, ok := lookUp(x, path)
			values, there = append(values, more...), there || ok
		}
	}
	return values, there
}

func flat(x any) (values []any) {
	switch x := x.(type) {
	case map[string]any:
		return nil
	case []any:
		for _, e := range x {
			values = append(values, flat(e)...)
		}
		return values
	}
	return []any{x}
}

func anyOf(values []any, pass func(any) bool) bool {
	for _, v := range values {
		if pass(v) {
			return true
		}
	}
	return false
}

// expected reports whether a filter holds, given both as decoded by encoding/json.
func expected(filter, metadata any) bool {
	for key, x := range filter.(map[string]any) {
		pass := false
		switch key {
		case "$not":
			pass = !expected(x, metadata)
		case "$or":
			pass = anyOf(x.([]any), func(f any) bool { return expected(f, metadata) })
		case "$and":
			pass = !anyOf(x.([]any), func(f any) bool { return !expected(f, metadata) })
		default:
			values, there := lookUp(metadata, key)
			tests, ok := x.(map[string]any)
			if !ok {
				tests = map[string]any{"$eq": x}
			}
			pass = true
			for operator, y := range tests {
				pass = pass && passes(operator, y, values, there)
			}
		}
		if !pass {
			return false
		}
	}
	return true
}

func passes(operator string, y any, values []any, there bool) bool {
	switch operator {
	case "$exists":
		return y == there
	case "$eq":
		return y == nil && !there || anyOf(values, func(v any) bool { return v == y })
	case "$in":
		return anyOf(y.([]any), func(y any) bool { return passes("$eq", y, values, there) })
	case "$ne":
		return !passes("$eq", y, values, there)
	case "$nin":
		return !passes("$in", y, values, there)
	}
	return anyOf(values, func(v any) bool {
		less, more := false, false
		switch y := y.(type) {
		case string:
			s, ok := v.(string)
			if !ok {
				return false
			}
			less, more = s < y, s > y
		case float64:
			n, ok := v.(float64)
			if !ok {
				return false
			}
			less, more = n < y, n > y
		}
		return map[string]bool{"$lt": less, "$lte": !more, "$gt": more, "$gte": !less}[operator]
	})
}

// maker generates random metadata and filters over the same few fields and values.
type maker struct{ *rand.Rand }

func pick[T any](r maker, all ...T) T { return all[r.IntN(len(all))] }

func (r maker) scalar() any {
	return pick[any](r, nil, true, false, "", "a", "b", "ab", "ü", r.IntN(4), float64(r.IntN(8))/2, -1e300, 0, "k"+string(rune('a'+r.IntN(26))), r.IntN(1000))
}

func (r maker) value(depth int) any {
	switch n := r.IntN(10); {
	case n == 0 && depth > 0:
		return r.object(depth - 1)
	case n <= 2 && depth > 0:
		list := []any{}
		for range r.IntN(4) {
			list = append(list, r.value(depth-1))
		}
		return list
	}
	return r.scalar()
}

func (r maker) object(depth int) map[string]any {
	o := map[string]any{}
	for range r.IntN(5) {
		o[pick(r, "a", "b", "c", "d", "a.b", "b.a", "a.b.c", "")] = r.value(depth)
	}
	return o
}

func (r maker) field() string {
	return pick(r, "a", "a", "b", "c", "d", "a.b", "b.a", "a.b.c", "a.", "never", "c.a", "")
}

func (r maker) test() (operator string, y any) {
	operator = pick(r, "$eq", "$ne", "$in", "$nin", "$gt", "$gte", "$lt", "$lte", "$exists")
	switch operator {
	case "$eq", "$ne":
		return operator, r.scalar()
	case "$in", "$nin":
		list := []any{}
		for range r.IntN(5) {
			list = append(list, r.scalar())
		}
		return operator, list
	case "$exists":
		return operator, r.IntN(2) == 0
	}
	return operator, pick[any](r, "", "a", "ab", "kk", r.IntN(4), 1.5, r.IntN(1000), -1e300)
}

func (r maker) filter(depth int) map[string]any {
	f := map[string]any{}
	for range 1 + r.IntN(5)/3 {
		switch n := r.IntN(9); {
		case n == 0 && depth > 0:
			f["$not"] = r.filter(depth - 1)
		case n <= 3 && depth > 0:
			f[pick(r, "$and", "$or", "$or")] = []any{r.filter(depth - 1), r.filter(depth - 1)}
		case n == 4:
			f[r.field()] = r.scalar()
		default:
			tests := map[string]any{}
			for range 1 + r.IntN(2) {
				operator, y := r.test()
				tests[operator] = y
			}
			f[r.field()] = tests
		}
	}
	return f
}

// plain returns x as JSON, and as decoded again by encoding/json.
func plain(t testing.TB, x any) (text []byte, again any) {
	t.Helper()
	text, err := json.Marshal(x)
	if err == nil {
		err = json.Unmarshal(text, &again)
	}
	if err != nil {
		t.Fatal(err)
	}
	return text, again
}
