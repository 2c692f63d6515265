package outbound

import (
	"context"
	"errors"
	"fmt"
	"os"
	"reflect"
	"strings"
)

// SecretFunc returns the secret of a client. It is called for each token request, never
// by two goroutines for one token at once, but by several for several tokens. Its errors
// must not quote the secret. It should return when its context ends: a fetch does not wait
// longer, and the func is not called again until it has returned.
type SecretFunc func(ctx context.Context) (string, error)

// Secret returns a SecretFunc of a secret that does not change. [New] refuses one that is
// empty or has other characters than printable ASCII.
func Secret(secret string) SecretFunc {
	switch err := checkSecret(secret); {
	case errors.Is(err, errEmptySecret):
		return emptySecret
	case err != nil:
		return brokenSecret
	}
	return func(context.Context) (string, error) { return secret, nil }
}

// The SecretFuncs of arguments that cannot be right. They are no closures, so that New
// recognises them.
func emptySecret(context.Context) (string, error)  { return "", errEmptySecret }
func brokenSecret(context.Context) (string, error) { return "", errBrokenSecret }
func unnamedFile(context.Context) (string, error)  { return "", errUnnamedFile }
func unnamedEnv(context.Context) (string, error)   { return "", errUnnamedEnv }

// checkArgument returns the error of a SecretFunc whose argument cannot be right. It calls
// no other func.
func checkArgument(secret SecretFunc) error {
	for _, wrong := range []SecretFunc{emptySecret, brokenSecret, unnamedFile, unnamedEnv} {
		if reflect.ValueOf(secret).Pointer() == reflect.ValueOf(wrong).Pointer() {
			_, err := wrong(context.Background())
			return err
		}
	}
	return nil
}

// checkSecret refuses what cannot be a secret: it is *VSCHAR (RFC 6749, appendix A.2). A
// line break is mostly one that was copied along.
func checkSecret(secret string) error {
	switch {
	case secret == "":
		return errEmptySecret
	case strings.ContainsFunc(secret, func(r rune) bool { return r < ' ' || r > '~' }):
		return errBrokenSecret
	}
	return nil
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

var (
	errEmptySecret  = errors.New("outbound: Config.Secret: the secret is empty")
	errBrokenSecret = errors.New("outbound: Config.Secret: the secret has a character that no secret has, such as a line break: only printable ASCII is sent (RFC 6749, appendix A.2)")
	errUnnamedFile  = errors.New("outbound: Config.Secret: the path for SecretFile is empty")
	errUnnamedEnv   = errors.New("outbound: Config.Secret: the name for SecretEnv is empty")
)

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

// text returns the secret.
func (read SecretFunc) text(ctx context.Context, c *callout, use *secretUse) (string, error) {
	secret, err := callWithUse(ctx, c, use, read)
	if err == nil {
		err = checkSecret(secret)
	}
	return secret, err
}

// SecretEnv returns a SecretFunc that reads an environment variable of this process.
func SecretEnv(name string) SecretFunc {
	if name == "" {
		return unnamedEnv
	}
	return func(context.Context) (string, error) {
		if secret := os.Getenv(name); secret != "" {
			return secret, nil
		}
		return "", fmt.Errorf("outbound: secret: the environment variable %s is empty", name)
	}
}
