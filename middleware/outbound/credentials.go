package outbound

import (
	"context"
	"errors"
	"fmt"
	"os"
)

// SecretFunc returns the secret of a client. It is called for each token request, never
// by two goroutines for one token at once, but by several for several tokens. Its errors
// must not quote the secret. It should return when its context ends: a fetch does not wait
// longer, and the func is not called again until it has returned.
type SecretFunc func(ctx context.Context) (string, error)

// Secret returns a SecretFunc of a secret that does not change.
func Secret(secret string) SecretFunc {
	return func(context.Context) (string, error) {
		if secret == "" {
			return "", errEmptySecret
		}
		return secret, nil
	}
}

// secretUse is what is known of a secret beside its text. SecretFile finds it in its
// context and fills it in.
type secretUse struct {
	file    *secretFile // where it was read; nil if that wants to know no outcome
	secret  string      // as the file has it
	warning error       // it is another secret than the one that was to be used
}

// outcome tells the file whether the server has accepted the secret, and returns a former
// one to try once, or "".
func (u *secretUse) outcome(sent string, err error) (former string) {
	if u.file == nil || sent != u.secret { // or a func of the app has changed it
		return ""
	}
	if err == nil {
		u.file.accept(u.secret)
		return ""
	}
	if e, ok := errors.AsType[*Error](err); ok && e.Code == "invalid_client" && !errors.Is(e, ErrUnavailable) {
		return u.file.refuse(u.secret)
	}
	return ""
}

type secretUseKey struct{}

// callWithUse calls a func whose context has a secretUse of its own, as nobody may wait
// for it any more when it fills that in. use gets it afterwards.
func callWithUse[T any](ctx context.Context, c *callout, use *secretUse, f func(context.Context) (T, error)) (T, error) {
	type result struct {
		value T
		use   *secretUse
	}
	r, err := call(ctx, c, func(ctx context.Context) (result, error) {
		r := result{use: &secretUse{}}
		var err error
		r.value, err = f(context.WithValue(ctx, secretUseKey{}, r.use))
		return r, err
	})
	if r.use != nil {
		*use = *r.use
	}
	return r.value, err
}

var errEmptySecret = errors.New("outbound: the secret is empty")

// text returns the secret.
func (read SecretFunc) text(ctx context.Context, c *callout, use *secretUse) (string, error) {
	secret, err := callWithUse(ctx, c, use, read)
	if err == nil && secret == "" {
		err = errEmptySecret
	}
	return secret, err
}

// SecretEnv returns a SecretFunc that reads an environment variable of this process.
func SecretEnv(name string) SecretFunc {
	return func(context.Context) (string, error) {
		if secret := os.Getenv(name); secret != "" {
			return secret, nil
		}
		return "", fmt.Errorf("outbound: secret: the environment variable %s is empty", name)
	}
}
