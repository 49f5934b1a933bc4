package filter

import "slices"

// terms is the readers' side of a field: for each value, the codes that contain it. The slices
// are append-only.
type terms struct {
	name    string
	codes   uint32 // the largest code in use
	numbers []numberTerm
	texts   []textTerm
	others  []otherTerm
}

type (
	numberTerm struct {
		value float64
		code  uint32
	}
	textTerm struct {
		value string
		hash  uint32
		code  uint32
	}
	otherTerm struct {
		value kind
		code  uint32
	}
)

func (t *terms) add(s scalar, code uint32) {
	switch s.kind {
	case number:
		t.numbers = append(t.numbers, numberTerm{s.number, code})
	case text:
		t.texts = append(t.texts, textTerm{s.text, hash(s.text), code})
	default:
		t.others = append(t.others, otherTerm{s.kind, code})
	}
}

// hash is FNV-1a. It rejects most unequal texts without comparing them.
func hash(s string) uint32 {
	h := uint32(2166136261)
	for i := range len(s) {
		h = (h ^ uint32(s[i])) * 16777619
	}
	return h
}

// View is an immutable snapshot of a Dictionary, safe for concurrent use while the dictionary
// changes. The zero View is that of an empty dictionary.
type View struct{ fields []*terms } // by field number

// View returns a snapshot of the dictionary. It costs one pointer per field.
func (d *Dictionary) View() View {
	v := View{make([]*terms, len(d.fields))}
	for i, f := range d.fields {
		if f.seen == nil {
			now := f.terms
			f.seen = &now
		}
		v.fields[i] = f.seen
	}
	return v
}

// Fields returns the names of the fields that have values, sorted.
func (v View) Fields() []string {
	names := []string{}
	for _, t := range v.fields {
		if len(t.numbers)+len(t.texts)+len(t.others) > 0 {
			names = append(names, t.name)
		}
	}
	slices.Sort(names)
	return names
}
