package registry

import "context"

// operatorKey is where a context says that the call is an operator's.
type operatorKey struct{}

// AsOperator returns a context for what an operator does: calls of a [Store] with it
// do not wait for those that requests cause, where the store can tell them apart, as
// sqlstore does by connections of their own. The verbs of the issuer, and package
// admin, mark theirs. Do not mark what a client can cause, however often it likes.
//
// The methods that a [Manager] adds to Store are an operator's without it.
func AsOperator(ctx context.Context) context.Context {
	return context.WithValue(ctx, operatorKey{}, true)
}

// IsOperator reports whether the context is one that [AsOperator] returned, or is made
// from one. It is for stores.
func IsOperator(ctx context.Context) bool {
	marked, _ := ctx.Value(operatorKey{}).(bool)
	return marked
}
