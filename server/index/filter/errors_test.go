package filter

import (
	"fmt"
	"strings"
	"testing"
)

func nested(open, inner, shut string, n int) string {
	return strings.Repeat(open, n) + inner + strings.Repeat(shut, n)
}

// many returns a text n times, each time with its number, joined by commas.
func many(format string, n int) string {
	all := make([]string, n)
	for i := range all {
		all[i] = fmt.Sprintf(format, i)
	}
	return strings.Join(all, ",")
}

func TestParseErrors(t *testing.T) {
	for _, c := range [][2]string{
		{``, `it is not JSON: unexpected end of JSON input`},
		{`{"a":1`, `it is not JSON: unexpected end of JSON input`},
		{`{"a":1} x`, `it is not JSON: invalid character 'x' after top-level value`},
		{`{"a":NaN}`, `it is not JSON: invalid character 'N' looking for beginning of value`},
		{"{\"a\":\"\xff\"}", `it is not valid UTF-8`},
		{`null`, `it is not a JSON object but null`},
		{`[{"a":1}]`, `it is not a JSON object but a list`},
		{`"a"`, `it is not a JSON object but a string`},
		{`{"a":1,"\u0061":2}`, `the key a occurs twice in one object`},
		{`{"a":{"$gt":1,"$gt":2}}`, `the key $gt occurs twice in one object`},
		{`{"label":{"$gte2":1}}`, `label: unknown operator $gte2; did you mean $gte?`},
		{`{"label":{"gt":1}}`, `label: unknown operator gt; did you mean $gt?`},
		{`{"label":{"$regex":"a"}}`, `label: unknown operator $regex; known operators: $eq $ne $in $nin $gt $gte $lt $lte $exists`},
		{`{"label":{"$` + strings.Repeat("x", 100) + `":1}}`, `label: unknown operator "$` + strings.Repeat("x", 59) + `..."; known operators: $eq $ne $in $nin $gt $gte $lt $lte $exists`},
		{`{"camera":{"make":"x"}}`, `camera: unknown operator make; a nested field is written with dots: camera.make`},
		{`{"a b":{"$not":{"c":1}}}`, `"a b": $not combines whole filters and cannot be used below a field`},
		{`{"$nor":[{"a":1}]}`, `unknown operator $nor; did you mean $or?`},
		{`{"$where":1}`, `unknown operator $where; known operators: $and $or $not`},
		{`{"$gt":1}`, `$gt belongs below a field: {"field":{"$gt":...}}`},
		{`{"a":{}}`, `a: the object contains no operator; known operators: $eq $ne $in $nin $gt $gte $lt $lte $exists`},
		{`{"a":["x"]}`, `a: a field cannot be compared with a list; for one of several values write {"$in":[...]}`},
		{`{"a":{"$eq":[1]}}`, `a.$eq: want a string, a number, true, false or null, not a list`},
		{`{"a":{"$ne":{}}}`, `a.$ne: want a string, a number, true, false or null, not an object`},
		{`{"a":{"$gt":true}}`, `a.$gt: want a number or a string, not true or false`},
		{`{"a":{"$exists":1}}`, `a.$exists: want true or false, not a number`},
		{`{"a":{"$in":"x"}}`, `a.$in: want a list of values, not a string`},
		{`{"a":{"$in":[1,[2]]}}`, `a.$in[1]: want a string, a number, true, false or null, not a list`},
		{`{"a":{"$in":[` + many("%d", MaxValues+1) + `]}}`, `a.$in: the list has more than 1000 values`},
		{`{"a":1e999}`, `a: the number 1e999 is too large for a 64-bit float`},
		{`{"$and":{"a":1}}`, `$and: want a list of filters, not an object`},
		{`{"$or":[]}`, `$or: the list of filters is empty`},
		{`{"$or":[{"a":1},{"$and":[3]}]}`, `$or[1].$and[0]: want a filter, not a number`},
		{`{"$not":[]}`, `$not: want a filter, not a list`},
		{nested(`{"$not":`, `{"a":1}`, `}`, MaxDepth), `it nests more than 16 objects and lists`},
		{`{` + many(`"%d":1`, MaxConditions+1) + `}`, `64: the filter has more than 64 conditions`},
		{strings.Repeat(" ", MaxText) + "{}", `it has 16386 bytes, more than the 16384 allowed`},
	} {
		f, err := Parse([]byte(c[0]))
		if err == nil || err.Error() != "filter: "+c[1] || f != nil {
			t.Errorf("%.80s: %v", c[0], err)
		}
	}
}

// Filters that just stay within the limits.
func TestParseLimits(t *testing.T) {
	for _, text := range []string{
		nested(`{"$not":`, `{"a":1}`, `}`, MaxDepth-1),
		`{"a":{"$in":[` + many("%d", MaxValues) + `]}}`,
		`{` + many(`"%d":1`, MaxConditions) + `}`,
		strings.Repeat(" ", MaxText-2) + "{}",
	} {
		read(t, text)
	}
}

func TestCheckMetadata(t *testing.T) {
	for _, c := range [][2]string{
		{``, ``}, {`{}`, ``}, {` {"a":[1,"x",null,{"b":{}}]} `, ``},
		{nested(`{"a":`, `1`, `}`, MaxDepth), ``},
		{nested(`{"a":`, `1`, `}`, MaxDepth+1), `it nests more than 16 objects and lists`},
		{nested(`{"a":`, `[]`, `}`, MaxDepth), `it nests more than 16 objects and lists`},
		{`{` + many(`"%d":{"x":1}`, MaxFields) + `}`, ``},
		{`{"a":[` + many(`{"b":%d}`, 2*MaxFields) + `]}`, ``}, // one field
		{`{` + many(`"%d":{}`, MaxFields+1) + `}`, `it has 257 fields, more than the 256 allowed`},
		{`{"` + strings.Repeat("x", MaxName) + `":1}`, ``},
		{`{"a":{"` + strings.Repeat("x", MaxName-1) + `":1}}`, `the field "a.` + strings.Repeat("x", 58) + `..." has a name of more than 512 bytes`},
		{`{"a":{"b":[-1e400]}}`, `a.b: the number -1e400 is too large for a 64-bit float`},
		{`{"a":{"b":1,"b":2}}`, `the key b occurs twice in one object`},
		{`[]`, `it is not a JSON object but a list`},
		{`{"a":01}`, `it is not JSON: invalid character '1' after object key:value pair`},
		{`{}{}`, `it is not JSON: invalid character '{' after top-level value`},
		{"{\"\xc0\":1}", `it is not valid UTF-8`},
	} {
		want := "metadata: " + c[1]
		if c[1] == "" {
			want = "<nil>"
		}
		if err := CheckMetadata([]byte(c[0])); fmt.Sprint(err) != want {
			t.Errorf("%.80s: %v", c[0], err)
		}
		if _, err := NewDictionary().Encode([]byte(c[0])); fmt.Sprint(err) != want {
			t.Errorf("%.80s: Encode: %v", c[0], err)
		}
	}
}
