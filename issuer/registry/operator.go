package registry

import "context"

// operatorKey is the key of the mark in a context.
type operatorKey struct{}

// AsOperator marks a context for what an operator does. Calls of a [Store] with it do
// not wait for calls that requests cause, if the store can separate the two; sqlstore
// has separate connections. The issuer's own methods and package admin mark their
// calls. Do not mark what a client can cause, because it may cause that without bound.
//
// The methods that a [Manager] adds to Store need no mark.
func AsOperator(ctx context.Context) context.Context {
	return context.WithValue(ctx, operatorKey{}, true)
}

// IsOperator reports whether the context, or one that it is derived from, is marked by
// [AsOperator]. It is for stores.
func IsOperator(ctx context.Context) bool {
	marked, _ := ctx.Value(operatorKey{}).(bool)
	return marked
}
