package main

import (
	"cmp"
	"context"
	"encoding/base64"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"time"

	"github.com/echo-m2m/m2m/issuer/registry"
)

const (
	issueFloor   = "stdlib sign + SHA-256 of the secret"
	issueLean    = "lean handler"
	issueMemory  = "**m2m**, memory store"
	issueSQLite  = "**m2m**, SQLite"
	issuePG      = "**m2m**, PostgreSQL"
	issueJWX     = "jwx 2 build + sign handler"
	issueFosite  = "fosite, SHA-256 hasher"
	issueBcrypt  = "fosite, default bcrypt"
	issueZitadel = "zitadel/oidc 3 op"
	issueGoOAuth = "go-oauth2 4"
)

// office is what every issuer is given: one key, one client with one secret.
type office struct {
	*world
	clientID, secret string
	kept             registry.Secret // the secret as m2m keeps it
}

func newOffice(alg string) (*office, error) {
	w, err := newWorld(alg)
	if err != nil {
		return nil, err
	}
	o := &office{world: w, clientID: "client-0"}
	o.secret, o.kept = registry.GenerateSecret()
	return o, nil
}

// client returns the client, as m2m keeps it.
func (o *office) client() registry.Client {
	return registry.Client{
		ID: o.clientID, Secrets: []registry.Secret{o.kept},
		Audiences: []string{audience}, Scopes: []string{"orders:read", "orders:write"},
	}
}

// basic is client_secret_basic (RFC 6749, section 2.3.1).
func basic(id, secret string) string {
	return "Basic " + base64.StdEncoding.EncodeToString([]byte(url.QueryEscape(id)+":"+url.QueryEscape(secret)))
}

// grantor is a token endpoint.
type grantor struct {
	name    string
	handler http.Handler
	path    string       // "/token" unless the library has its own
	secret  string       // what its client authenticates with
	reads   func() int64 // how often the store was asked for the client, where that is counted
	why     string
	close   func() error
}

func (g grantor) Close() error {
	if g.close == nil {
		return nil
	}
	return g.close()
}

// grantors are all the token endpoints of an office, ours first.
func grantors(ctx context.Context, o *office) (all []grantor, err error) {
	for _, build := range []func(context.Context, *office) (grantor, error){
		leanGrantor, memoryGrantor, sqliteGrantor, postgresGrantor, jwxGrantor, fositeGrantor, bcryptGrantor, zitadelGrantor, goOAuthGrantor,
	} {
		g, err := build(ctx, o)
		if err != nil {
			return nil, errors.Join(err, closeAll(all))
		}
		g.secret = cmp.Or(g.secret, o.secret)
		all = append(all, g)
	}
	return all, nil
}

func closeAll(all []grantor) error {
	var errs []error
	for _, g := range all {
		errs = append(errs, g.Close())
	}
	return errors.Join(errs...)
}

func issuance(ctx context.Context, b *bench) error {
	results, reads := map[string][]series{}, map[string]asked{}
	for _, alg := range algorithms {
		all, err := issueWith(ctx, b.plan, alg, reads)
		if err != nil {
			return fmt.Errorf("%s: %w", alg, err)
		}
		results[alg] = all
	}
	b.heading("Issuance", "`POST /token` with client_secret_basic, serial, in process, answer included. The floor is one signature by the standard library over 400 bytes\n"+
		"and one SHA-256 of the secret. Peers are given stores that keep no token, which is faster than any that they ship.")
	compare("issuance", issueFloor, inMicroseconds, algorithms, results).write(b.out)
	b.note("go-oauth2 parses its PEM key at each token and compares secrets with `!=`; its tokens carry aud and exp alone, neither iss, sub, jti nor scope. " +
		"fosite's tokens are made with its JWT strategy; its default hasher is bcrypt 12.")

	stores := &table{head: []string{"store", "ES256, × memory", "RS256, × memory", "EdDSA, × memory", "reads of the client, with " + algorithms[0]}}
	for _, name := range []string{issueSQLite, issuePG} {
		row := []string{name}
		for _, alg := range algorithms {
			row = append(row, ratioSpread(named(results[alg], name).ns, named(results[alg], issueMemory).ns).String())
		}
		stores.add(append(row, reads[name].String())...)
	}
	stores.write(b.out)
	b.issued(results, reads)
	return nil
}

// asked is how often a store was asked for the client while it got tokens.
type asked struct {
	reads  int64
	tokens int
	during time.Duration
}

func (a asked) String() string {
	if a.tokens == 0 {
		return noPostgres
	}
	return fmt.Sprintf("%d for %d tokens in %v", a.reads, a.tokens, a.during.Round(time.Second))
}

// seldom is for stores that are read now and then, and not for each token.
func (a asked) seldom() bool { return float64(a.reads) <= 2+a.during.Seconds()/5 }

// issueWith adds to reads how often each store was asked.
func issueWith(ctx context.Context, p plan, alg string, reads map[string]asked) (all []series, err error) {
	o, err := newOffice(alg)
	if err != nil {
		return nil, err
	}
	defer o.Close()
	endpoints, err := grantors(ctx, o)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, closeAll(endpoints)) }()
	contestants := []contestant{{name: issueFloor, op: signFloor(o)}}
	for _, g := range endpoints {
		c, err := g.operation(basic(o.clientID, g.secret), http.StatusOK)
		if err != nil {
			return nil, err
		}
		contestants = append(contestants, c)
	}
	began := time.Now()
	if all, err = p.race(contestants); err != nil {
		return nil, err
	}
	for _, g := range endpoints {
		if g.reads != nil && alg == algorithms[0] {
			reads[g.name] = asked{g.reads(), named(all, g.name).ops, time.Since(began)}
		}
	}
	return all, nil
}

func (g grantor) operation(credential string, want int) (contestant, error) {
	if g.handler == nil {
		return contestant{name: g.name, why: g.why}, nil
	}
	p, err := newPoster(g.handler, g.path)
	if err != nil {
		return contestant{}, err
	}
	return contestant{name: g.name, op: p.asking([]string{credential}, want)}, nil
}
