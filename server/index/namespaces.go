package index

// NamespaceInfo describes a namespace of a file.
type NamespaceInfo struct {
	Name   string
	Items  int
	Fields []string // of the metadata, sorted: the names for filters
}

// Namespaces returns the namespaces that have items, sorted by name. It takes time for each of
// them: Stats has their number, and Fields answers for one.
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

// Names returns the sorted names of the namespaces that have items, nil if they are more than
// most.
func (f *File) Names(most int) []string {
	st, leave, err := f.enter()
	if err != nil {
		return nil
	}
	defer leave()
	if st.total.namespaces.Load() > int64(most) {
		return nil
	}
	return st.sorted()
}

// Fields returns the sorted names of the fields in the metadata of a namespace, and whether the
// namespace has items.
func (f *File) Fields(namespace string) (fields []string, there bool) {
	st, leave, err := f.enter()
	if err != nil {
		return nil, false
	}
	defer leave()
	s := st.collection(namespace).snapshot()
	return s.view.Fields(), s.items > 0
}

// Len returns the number of items in all namespaces.
func (f *File) Len() int {
	st, leave, err := f.enter()
	if err != nil {
		return 0
	}
	defer leave()
	return int(st.total.items.Load())
}
