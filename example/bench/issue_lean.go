package main

import (
	"context"
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"crypto/subtle"
	"encoding/base64"
	"encoding/json"
	"errors"
	"net/http"
	"net/url"
	"time"

	"github.com/labstack/echo/v4"
	"github.com/lestrrat-go/jwx/v2/jwa"
	jwxjws "github.com/lestrrat-go/jwx/v2/jws"
	jwxjwt "github.com/lestrrat-go/jwx/v2/jwt"
)

const tokenLifetime = 15 * time.Minute

// signFloor is the least that any issuer does.
func signFloor(o *office) func() error {
	message, secret := make([]byte, 400), []byte(o.secret)
	return func() error {
		_ = sha256.Sum256(secret)
		_, err := signStdlib(o.signer, message)
		return err
	}
}

func signStdlib(signer crypto.Signer, message []byte) ([]byte, error) {
	switch key := signer.(type) {
	case *ecdsa.PrivateKey:
		sum := sha256.Sum256(message)
		r, s, err := ecdsa.Sign(rand.Reader, key, sum[:])
		if err != nil {
			return nil, err
		}
		signature := make([]byte, 64)
		r.FillBytes(signature[:32])
		s.FillBytes(signature[32:])
		return signature, nil
	case *rsa.PrivateKey:
		sum := sha256.Sum256(message)
		return rsa.SignPKCS1v15(nil, key, crypto.SHA256, sum[:])
	case ed25519.PrivateKey:
		return ed25519.Sign(key, message), nil
	}
	return nil, errors.ErrUnsupported
}

// handler is a token endpoint as a careful programmer writes it by hand. How a token
// is made of claims is a parameter.
func (o *office) handler(sign func(claims) (string, error)) http.Handler {
	hash := sha256.Sum256([]byte(o.secret))
	e := newRoute()
	e.POST("/token", func(c echo.Context) error {
		r := c.Request()
		id, secret, ok := r.BasicAuth()
		id, err1 := url.QueryUnescape(id)
		secret, err2 := url.QueryUnescape(secret)
		sum := sha256.Sum256([]byte(secret))
		if !ok || err1 != nil || err2 != nil || id != o.clientID || subtle.ConstantTimeCompare(sum[:], hash[:]) != 1 {
			return echo.ErrUnauthorized
		}
		if err := r.ParseForm(); err != nil || r.PostForm.Get("grant_type") != "client_credentials" {
			return echo.ErrBadRequest
		}
		now := time.Now()
		token, err := sign(claims{
			Issuer: issuerURL, Subject: id, ClientID: id, Audience: audience, ID: rand.Text(),
			Expiry: now.Add(tokenLifetime).Unix(), IssuedAt: now.Unix(), Scope: r.PostForm.Get("scope"),
		})
		if err != nil {
			return err
		}
		c.Response().Header().Set("Cache-Control", "no-store")
		return c.JSON(http.StatusOK, answer{token, "Bearer", int(tokenLifetime.Seconds()), r.PostForm.Get("scope")})
	})
	return e
}

// answer is that of RFC 6749, section 5.1.
type answer struct {
	AccessToken string `json:"access_token"`
	TokenType   string `json:"token_type"`
	ExpiresIn   int    `json:"expires_in"`
	Scope       string `json:"scope,omitempty"`
}

func leanGrantor(_ context.Context, o *office) (grantor, error) {
	header := base64.RawURLEncoding.EncodeToString([]byte(`{"alg":"` + o.alg + `","kid":"` + o.kid + `","typ":"at+jwt"}`))
	return grantor{name: issueLean, path: "/token", handler: o.handler(func(c claims) (string, error) {
		payload, err := json.Marshal(c)
		if err != nil {
			return "", err
		}
		message := header + "." + base64.RawURLEncoding.EncodeToString(payload)
		signature, err := signStdlib(o.signer, []byte(message))
		if err != nil {
			return "", err
		}
		return message + "." + base64.RawURLEncoding.EncodeToString(signature), nil
	})}, nil
}

func jwxGrantor(_ context.Context, o *office) (grantor, error) {
	headers := jwxjws.NewHeaders()
	if err := errors.Join(headers.Set("kid", o.kid), headers.Set("typ", "at+jwt")); err != nil {
		return grantor{}, err
	}
	key := jwxjwt.WithKey(jwa.SignatureAlgorithm(o.alg), o.signer, jwxjws.WithProtectedHeaders(headers))
	return grantor{name: issueJWX, path: "/token", handler: o.handler(func(c claims) (string, error) {
		token, err := jwxjwt.NewBuilder().Issuer(c.Issuer).Subject(c.Subject).Audience([]string{c.Audience}).
			Expiration(time.Unix(c.Expiry, 0)).IssuedAt(time.Unix(c.IssuedAt, 0)).JwtID(c.ID).
			Claim("client_id", c.ClientID).Claim("scope", c.Scope).Build()
		if err != nil {
			return "", err
		}
		signed, err := jwxjwt.Sign(token, key)
		return string(signed), err
	})}, nil
}
