package main

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/rsa"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"errors"
	"math/big"
	"net/http"
	"strings"
	"sync"
	"time"

	"github.com/labstack/echo/v4"
	"github.com/patrickmn/go-cache"
)

// floorGuard is the least that any verifier does: base64 and the signature, by the
// standard library.
func floorGuard(w *world) echo.MiddlewareFunc {
	public := w.signer.Public()
	return func(next echo.HandlerFunc) echo.HandlerFunc {
		return func(c echo.Context) error {
			b := spare.get()
			defer spare.Put(b)
			if _, err := floorVerify(public, bearerToken(c.Request()), b); err != nil {
				return echo.ErrUnauthorized
			}
			return next(c)
		}
	}
}

// leanGuard is the floor and the least that a useful middleware adds: claims, their
// checks, and the handler's access to them.
func leanGuard(w *world) echo.MiddlewareFunc {
	public := w.signer.Public()
	return func(next echo.HandlerFunc) echo.HandlerFunc {
		return func(c echo.Context) error {
			token, err := leanVerify(public, bearerToken(c.Request()))
			if err != nil {
				return echo.ErrUnauthorized
			}
			c.Set("token", token)
			return next(c)
		}
	}
}

func leanVerify(public crypto.PublicKey, token string) (*claims, error) {
	b := spare.get()
	defer spare.Put(b)
	payload, err := floorVerify(public, token, b)
	if err != nil {
		return nil, err
	}
	said := new(claims)
	if err := json.Unmarshal(payload, said); err != nil {
		return nil, err
	}
	if said.Issuer != issuerURL || said.Audience != audience || time.Now().Unix() >= said.Expiry {
		return nil, errClaims
	}
	return said, nil
}

// cachedGuard is the least that a cache of verified tokens does: it has no bound,
// and checks only the time again.
func cachedGuard(w *world) echo.MiddlewareFunc {
	public := w.signer.Public()
	known := cache.New(time.Hour, cache.NoExpiration)
	return func(next echo.HandlerFunc) echo.HandlerFunc {
		return func(c echo.Context) error {
			raw := bearerToken(c.Request())
			found, _ := known.Get(raw)
			token, ok := found.(*claims)
			if !ok {
				var err error
				if token, err = leanVerify(public, raw); err != nil {
					return echo.ErrUnauthorized
				}
				known.SetDefault(raw, token)
			}
			if time.Now().Unix() >= token.Expiry {
				return echo.ErrUnauthorized
			}
			c.Set("token", token)
			return next(c)
		}
	}
}

func bearerToken(r *http.Request) string {
	token, _ := strings.CutPrefix(r.Header.Get("Authorization"), bearerIs)
	return token
}

var (
	errSignature = errors.New("the signature is wrong")
	errClaims    = errors.New("the claims are not those of a good token")
)

// floorVerify decodes into memory that it is given, so that it allocates no more
// than the signature check itself.
func floorVerify(public crypto.PublicKey, token string, b *buffers) (payload []byte, err error) {
	header, dot := strings.IndexByte(token, '.'), strings.LastIndexByte(token, '.')
	if header == dot || len(token) > len(b.signed) {
		return nil, errSignature
	}
	signed := append(b.signed[:0], token[:dot]...)
	signature, err := base64.RawURLEncoding.AppendDecode(b.signature[:0], append(b.text[:0], token[dot+1:]...))
	if err != nil {
		return nil, err
	}
	payload, err = base64.RawURLEncoding.AppendDecode(b.payload[:0], signed[header+1:])
	if err != nil {
		return nil, err
	}
	good := false
	switch key := public.(type) {
	case *ecdsa.PublicKey:
		sum := sha256.Sum256(signed)
		good = len(signature) == 64 &&
			ecdsa.Verify(key, sum[:], new(big.Int).SetBytes(signature[:32]), new(big.Int).SetBytes(signature[32:]))
	case *rsa.PublicKey:
		sum := sha256.Sum256(signed)
		good = rsa.VerifyPKCS1v15(key, crypto.SHA256, sum[:], signature) == nil
	case ed25519.PublicKey:
		good = ed25519.Verify(key, signed, signature)
	}
	if !good {
		return nil, errSignature
	}
	return payload, nil
}

// buffers are enough for the tokens of this program.
type buffers struct{ signed, text, signature, payload [2048]byte }

type buffersPool struct{ sync.Pool }

var spare buffersPool

func (p *buffersPool) get() *buffers {
	if b, ok := p.Get().(*buffers); ok {
		return b
	}
	return new(buffers)
}
