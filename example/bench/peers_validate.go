package main

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"net/url"
	"time"

	"github.com/MicahParks/keyfunc/v3"
	jwtmiddleware "github.com/auth0/go-jwt-middleware/v2"
	auth0jwks "github.com/auth0/go-jwt-middleware/v2/jwks"
	"github.com/auth0/go-jwt-middleware/v2/validator"
	goidc "github.com/coreos/go-oidc/v3/oidc"
	"github.com/golang-jwt/jwt/v5"
	echojwt "github.com/labstack/echo-jwt/v4"
	"github.com/labstack/echo/v4"
	"github.com/lestrrat-go/jwx/v2/jwk"
	jwxjwt "github.com/lestrrat-go/jwx/v2/jwt"
	"github.com/zitadel/oidc/v3/pkg/client/rp"
	"github.com/zitadel/oidc/v3/pkg/oidc"
	"github.com/zitadel/oidc/v3/pkg/op"
)

const (
	echoJWT = "echo-jwt 4 + keyfunc 3"
	auth0   = "auth0/go-jwt-middleware 2"
	goOIDC  = "go-oidc 3"
	zitadel = "zitadel/oidc 3"
	jwx     = "jwx 2 `jwt.Parse` + key set"
)

// peers are the libraries that people validate access tokens with. Each checks
// the signature, iss, aud and exp; where its own check leaves one out, it is added.
var peers = []struct {
	name  string
	guard func(ctx context.Context, w *world, jwksURL string) (echo.MiddlewareFunc, error)
}{
	{echoJWT, echoJWTGuard},
	{auth0, auth0Guard},
	{goOIDC, goOIDCGuard},
	{zitadel, zitadelGuard},
	{jwx, jwxGuard},
}

// echoJWTGuard needs a ParseTokenFunc: with KeyFunc alone echo-jwt checks neither
// iss nor aud, and takes a token without exp.
func echoJWTGuard(ctx context.Context, w *world, jwksURL string) (echo.MiddlewareFunc, error) {
	keys, err := keyfunc.NewDefaultCtx(ctx, []string{jwksURL})
	if err != nil {
		return nil, err
	}
	parser := jwt.NewParser(jwt.WithIssuer(issuerURL), jwt.WithAudience(audience),
		jwt.WithExpirationRequired(), jwt.WithValidMethods([]string{w.alg}))
	return echojwt.WithConfig(echojwt.Config{
		ParseTokenFunc: func(_ echo.Context, token string) (any, error) {
			return parser.Parse(token, keys.Keyfunc)
		},
	}), nil
}

func auth0Guard(_ context.Context, w *world, jwksURL string) (echo.MiddlewareFunc, error) {
	where, err := url.Parse(jwksURL)
	if err != nil {
		return nil, err
	}
	keys := auth0jwks.NewCachingProvider(where, 5*time.Minute, auth0jwks.WithCustomJWKSURI(where))
	v, err := validator.New(keys.KeyFunc, validator.SignatureAlgorithm(w.alg), issuerURL, []string{audience})
	if err != nil {
		return nil, err
	}
	return echo.WrapMiddleware(jwtmiddleware.New(v.ValidateToken).CheckJWT), nil
}

// tokenGuard is the middleware around a library that has none for Echo. It gives the
// handler the library's own token.
func tokenGuard[T any](verify func(ctx context.Context, token string) (T, error)) echo.MiddlewareFunc {
	return func(next echo.HandlerFunc) echo.HandlerFunc {
		return func(c echo.Context) error {
			token, err := verify(c.Request().Context(), bearerToken(c.Request()))
			if err != nil {
				return echo.ErrUnauthorized
			}
			c.Set("token", token)
			return next(c)
		}
	}
}

func goOIDCGuard(ctx context.Context, w *world, jwksURL string) (echo.MiddlewareFunc, error) {
	verifier := goidc.NewVerifier(issuerURL, goidc.NewRemoteKeySet(ctx, jwksURL),
		&goidc.Config{ClientID: audience, SupportedSigningAlgs: []string{w.alg}})
	return tokenGuard(verifier.Verify), nil
}

// zitadelGuard checks aud itself: VerifyAccessToken does not.
func zitadelGuard(_ context.Context, w *world, jwksURL string) (echo.MiddlewareFunc, error) {
	verifier := op.NewAccessTokenVerifier(issuerURL, rp.NewRemoteKeySet(http.DefaultClient, jwksURL),
		op.WithSupportedAccessTokenSigningAlgorithms(w.alg))
	return tokenGuard(func(ctx context.Context, token string) (*oidc.AccessTokenClaims, error) {
		claims, err := op.VerifyAccessToken[*oidc.AccessTokenClaims](ctx, token, verifier)
		if err != nil {
			return nil, err
		}
		return claims, oidc.CheckAudience(claims, audience)
	}), nil
}

// jwxGuard is given the keys: the fetcher of jwx does not recover when its first
// fetch fails.
func jwxGuard(ctx context.Context, w *world, _ string) (echo.MiddlewareFunc, error) {
	document := httptest.NewRecorder()
	w.keys.ServeHTTP(document, httptest.NewRequestWithContext(ctx, http.MethodGet, "/", nil))
	keys := jwk.NewSet()
	if err := json.Unmarshal(document.Body.Bytes(), keys); err != nil {
		return nil, fmt.Errorf("key set: %w", err)
	}
	return tokenGuard(func(_ context.Context, token string) (jwxjwt.Token, error) {
		return jwxjwt.ParseString(token, jwxjwt.WithKeySet(keys), jwxjwt.WithValidate(true),
			jwxjwt.WithIssuer(issuerURL), jwxjwt.WithAudience(audience), jwxjwt.WithRequiredClaim("exp"))
	}), nil
}
