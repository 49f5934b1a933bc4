package index

import (
	"fmt"
	"slices"
	"strings"

	"vicreg/pipeline/usage"
	"vicreg/server/index/filter"
)

// Absent explains why nothing can be found in a namespace, given all namespaces, and suggests
// what was most likely meant: the namespace has no items, or none of them has a field that the
// filter tests. It returns "" if neither is the case.
func Absent(all []NamespaceInfo, namespace string, f *filter.Filter) string {
	at := slices.IndexFunc(all, func(n NamespaceInfo) bool { return n.Name == namespace })
	if at < 0 {
		names := make([]string, len(all))
		for i, n := range all {
			names[i] = n.Name
		}
		return fmt.Sprintf("there is nothing in namespace %s%s", usage.Printable(namespace), meant(namespace, names))
	}
	fields := all[at].Fields
	for _, name := range f.Fields() {
		if !slices.ContainsFunc(fields, func(has string) bool { return has == name || strings.HasPrefix(has, name+".") }) {
			return fmt.Sprintf("no item of namespace %s has the field %s%s", usage.Printable(namespace), usage.Printable(name), meant(name, fields))
		}
	}
	return ""
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
	return "; there is " + strings.Join(shown, ", ")
}
