package index

// UpsertTogether stores items, each by a call of its own, in one transaction, as if the calls had
// come while another was being written. It returns the error of each.
func (f *File) UpsertTogether(namespace string, items ...Item) (failed []error, err error) {
	var group []*call
	for _, item := range items {
		c := newCall(namespace, 1)
		if err := c.fill(f.state, []Item{item}); err != nil {
			return nil, err
		}
		group = append(group, c)
	}
	f.writer.commit(group)
	for _, c := range group {
		failed = append(failed, <-c.done)
	}
	return failed, nil
}
