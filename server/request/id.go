package request

import "context"

type idKey struct{}

// WithID attaches a request's id to a context, for logs.
func WithID(ctx context.Context, id string) context.Context {
	return context.WithValue(ctx, idKey{}, id)
}

// ID returns the request id attached to ctx, "" if there is none.
func ID(ctx context.Context) string {
	id, _ := ctx.Value(idKey{}).(string)
	return id
}
