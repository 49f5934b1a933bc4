package index

// NamespaceInfo describes a namespace of a file.
type NamespaceInfo struct {
	Name   string
	Items  int
	Fields []string // of the metadata, sorted: the names for filters
}

// Namespaces returns the namespaces that have items, sorted by name.
func (f *File) Namespaces() []NamespaceInfo {
	st, leave, err := f.enter()
	if err != nil {
		return nil
	}
	defer leave()
	all := []NamespaceInfo{}
	for _, name := range st.sorted() {
		s := st.collection(name).snapshot()
		all = append(all, NamespaceInfo{name, s.items, s.view.Fields()})
	}
	return all
}

// Len returns the number of items in all namespaces.
func (f *File) Len() (n int) {
	for _, ns := range f.Namespaces() {
		n += ns.Items
	}
	return n
}
