package index

// NamespaceInfo is one of a file's, with what it holds.
type NamespaceInfo struct {
	Name   string
	Items  int
	Fields []string // of the metadata, sorted: what filters can name
}

// Namespaces are those that have items, sorted by name.
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

// Len is the number of items in all namespaces.
func (f *File) Len() (n int) {
	for _, ns := range f.Namespaces() {
		n += ns.Items
	}
	return n
}
