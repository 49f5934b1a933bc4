package index

import (
	"context"
	"fmt"
	"slices"
	"strings"

	"vicreg/pipeline/usage"
	"vicreg/server/index/filter"
)

// Directory tells what an index holds; File implements it.
type Directory interface {
	Fields(namespace string) (fields []string, there bool) // sorted; there if the namespace has items
	Names(most int) []string                               // of the namespaces with items, sorted; nil if they are more than most
}

// mostNames is the number of namespaces among which a similar name is looked for. With more, every
// empty search would take long.
const mostNames = 300

// Absent explains why nothing can be found in a namespace, and suggests what was most likely
// meant: the namespace has no items, or none of them has a field that the filter tests. It
// returns "" if neither is the case.
func Absent(d Directory, namespace string, f *filter.Filter) string {
	fields, there := d.Fields(namespace)
	if !there {
		return fmt.Sprintf("namespace %s is empty%s", usage.Printable(namespace), meant(namespace, d.Names(mostNames)))
	}
	for _, name := range f.Fields() {
		if !slices.ContainsFunc(fields, func(has string) bool { return has == name || strings.HasPrefix(has, name+".") }) {
			return fmt.Sprintf("no item of namespace %s has the field %s%s", usage.Printable(namespace), usage.Printable(name), meant(name, fields))
		}
	}
	return ""
}

// Listed is a Directory whose items can be listed.
type Listed interface {
	Directory
	List(ctx context.Context, namespace string, l Listing) (*Page, error)
}

// Nothing is Absent, and also tells when no item of the namespace matches the filter.
func Nothing(ctx context.Context, items Listed, namespace string, f *filter.Filter) string {
	if absent := Absent(items, namespace, f); absent != "" || f == nil {
		return absent
	}
	if page, err := items.List(ctx, namespace, Listing{Filter: f, Limit: 1}); err != nil || page.Total > 0 {
		return ""
	}
	return fmt.Sprintf("no item of namespace %s matches the filter", usage.Printable(namespace))
}

// meant suggests the name most similar to a missing one, or lists all names if there are few.
func meant(name string, names []string) string {
	const longest, few = 64, 8 // a longer name costs too much to compare
	if len(name) <= longest {
		if near := usage.Closest(name, names); near != "" {
			return "; did you mean " + usage.Printable(near) + "?"
		}
	}
	if len(names) == 0 || len(names) > few {
		return ""
	}
	shown := make([]string, len(names))
	for i, n := range names {
		shown[i] = usage.Printable(n)
	}
	return "; available: " + strings.Join(shown, ", ")
}
