package filter

import "slices"

// terms is what readers know of a field: for each value the codes that have it. The
// slices are appended to, and what they have never changes.
type terms struct {
	name    string
	codes   uint32 // the largest there is
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

// hash is FNV-1a: most other texts are told apart without a look at them.
func hash(s string) uint32 {
	h := uint32(2166136261)
	for i := range len(s) {
		h = (h ^ uint32(s[i])) * 16777619
	}
	return h
}

// View is what a Dictionary knew at one time. It never changes: any number of
// goroutines may use it at once, while the dictionary goes on. The zero View is of an
// empty dictionary.
type View struct{ fields []*terms } // as they are numbered

// View returns what the dictionary knows now. It costs a pointer for each field.
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

// Fields are the names of the fields that have values, sorted.
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
