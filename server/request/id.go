package request

import "context"

type idKey struct{}

// WithID names the request that is served under a context, for logs.
func WithID(ctx context.Context, id string) context.Context {
	return context.WithValue(ctx, idKey{}, id)
}

// ID is the name of the request that is served under ctx, "" for none.
func ID(ctx context.Context) string {
	id, _ := ctx.Value(idKey{}).(string)
	return id
}
