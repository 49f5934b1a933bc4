// Package filter is the language in which searches say what metadata must fulfil, and
// the columns in which metadata is kept so that filters cost little next to a scan.
package filter

// Filter is a condition on metadata. It is never changed: any number of goroutines
// may use it at once.
type Filter struct{}
