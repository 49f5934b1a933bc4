package filter

import "slices"

// Fields returns the names of the fields that the filter tests, sorted and without duplicates.
func (f *Filter) Fields() []string {
	if f == nil {
		return nil
	}
	names := f.root.fields(nil)
	slices.Sort(names)
	return slices.Compact(names)
}

func (o object) fields(names []string) []string {
	for _, m := range o {
		if m.tests != nil {
			names = append(names, m.key)
		}
		for _, part := range m.parts {
			names = part.fields(names)
		}
	}
	return names
}
