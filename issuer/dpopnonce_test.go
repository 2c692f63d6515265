package issuer

import (
	"context"
	"errors"
	"net/http/httptest"
	"testing"
	"testing/synctest"
	"time"

	"github.com/echo-m2m/m2m/issuer/registry"
	"github.com/echo-m2m/m2m/jwks/event"
	"github.com/echo-m2m/m2m/jwks/pop"
)

// onceAuth is client authentication by a credential that is valid once: its header is the
// client id and a number.
type onceAuth struct {
	s    *service
	used map[string]bool
	fail *Error // instead of recording the use
}

// newOnce adds it to an issuer.
func newOnce(s *service) *onceAuth {
	o := &onceAuth{s: s, used: map[string]bool{}}
	s.issuer.mechanisms = append(s.issuer.mechanisms, o)
	return o
}

func (o *onceAuth) presented(q request) bool { return q.http.Header.Get("Ticket") != "" }

func (o *onceAuth) read(q request) (credential, *Error) {
	return &ticket{o, q.http.Header.Get("Ticket")}, nil
}

type ticket struct {
	*onceAuth
	text string
}

func (*ticket) claimedID() string { return "app" }

func (k *ticket) verify(ctx context.Context) (caller, *Error) {
	found, err := k.s.issuer.find(ctx, "app", "")
	if err == nil {
		err = found.admit(registry.PrivateKeyJWT, nil)
	}
	return caller{client: found.client, number: found.number, consume: k.consume}, err
}

func (k *ticket) consume(context.Context) *Error {
	switch {
	case k.fail != nil:
		return k.fail
	case k.used[k.text]:
		return invalidClient(event.MalformedCredential, errors.New("the ticket was used"))
	}
	k.used[k.text] = true
	return nil
}

const ticketForm = "grant_type=client_credentials"

// nonceOf takes the nonce from an answer.
func nonceOf(w *httptest.ResponseRecorder) string {
	nonce := w.Header().Get("DPoP-Nonce")
	w.Header().Del("DPoP-Nonce")
	return nonce
}

const needsNonce = "the DPoP proof must have the nonce of the DPoP-Nonce header"

// With RequireNonce the first request is told a nonce, and the mandated retry works with
// the same credential, although that is valid once (RFC 9449, section 8).
func TestNonceRequired(t *testing.T) {
	s := newService(t, Config{DPoP: &pop.Config{Nonces: newNonces(t, "n"), RequireNonce: true}}, app(), bound())
	tickets, p := newOnce(s), newProver(t)
	w := s.post(ticketForm, "Ticket", "1", "DPoP", proof(t, p, ""))
	nonce := nonceOf(w)
	s.wantError(t, w, 400, "use_dpop_nonce", needsNonce)
	if e := s.lastEvent(t); nonce == "" || e.Reason != event.NonceNeeded || tickets.used["1"] {
		t.Fatalf("nonce %q, event %+v, used %v", nonce, e, tickets.used)
	}
	w = s.post(ticketForm, "Ticket", "1", "DPoP", proof(t, p, nonce))
	if again := nonceOf(w); again != "" && again == nonce {
		t.Errorf("the client is told the nonce %q that it has", again)
	}
	if g := s.wantToken(t, w); g.answer.TokenType != "DPoP" || !tickets.used["1"] {
		t.Errorf("%+v, used %v", g.answer, tickets.used)
	}
	w = s.post(ticketForm, "Ticket", "1", "DPoP", proof(t, p, nonce))
	nonceOf(w)
	s.wantUnauthorizedFor(t, "second use", w, event.MalformedCredential)

	// A client without a proof, which must send one, learns the nonce at once.
	w = s.post(secretOf("bound"))
	if nonceOf(w) == "" {
		t.Error("no nonce")
	}
	s.wantError(t, w, 400, "invalid_dpop_proof", "the tokens of this client are bound to a key: send a DPoP proof")

	// A forged nonce, one of another secret, and one of long ago.
	for _, wrong := range []string{"x", newNonces(t, "m").Current(), nonce + nonce} {
		w = s.post(appForm, "DPoP", proof(t, p, wrong))
		if nonceOf(w) == "" {
			t.Errorf("%q: no nonce", wrong)
		}
		s.wantError(t, w, 400, "use_dpop_nonce", "the nonce of the DPoP proof is not valid")
	}
}

// Replicas with one secret take each other's nonces, until they are too old.
func TestNonceOfAnotherReplica(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		here := newService(t, Config{DPoP: &pop.Config{Nonces: newNonces(t, "n"), RequireNonce: true}})
		there := newService(t, Config{DPoP: &pop.Config{Nonces: newNonces(t, "n"), RequireNonce: true}})
		p := newProver(t)
		nonce := nonceOf(here.post(appForm, "DPoP", proof(t, p, "")))
		time.Sleep(2 * time.Minute)
		w := there.post(appForm, "DPoP", proof(t, p, nonce))
		if renewed := nonceOf(w); renewed == "" || renewed == nonce {
			t.Errorf("the next nonce is %q after %q", renewed, nonce)
		}
		there.wantToken(t, w)
		time.Sleep(2 * time.Minute)
		if w := there.post(appForm, "DPoP", proof(t, p, nonce)); w.Code != 400 {
			t.Errorf("a nonce of 4 minutes ago: %d", w.Code)
		}
	})
}

// With optional nonces a client without one gets its token, and the nonce for the next.
func TestNonceOptional(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newService(t, Config{DPoP: &pop.Config{Nonces: newNonces(t, "n")}})
		p := newProver(t)
		w := s.post(appForm, "DPoP", proof(t, p, ""))
		nonce := nonceOf(w)
		s.wantToken(t, w)
		if nonce == "" {
			t.Fatal("no nonce")
		}
		s.wantToken(t, s.post(appForm, "DPoP", proof(t, p, nonce))) // without the header
		s.wantToken(t, s.post(appForm))                             // a bearer token, without it too
		w = s.post(appForm+"&scope=none", "DPoP", proof(t, p, ""))
		if nonceOf(w) == "" {
			t.Error("no nonce beside another error")
		}
		s.wantError(t, w, 400, "invalid_scope", "the client may not have one of the scopes for this resource")
	})
}

// A credential that is valid once is spent by the request that it authenticates, and only
// when its proof is right. The proof is recorded only when the credential is spent.
func TestCredentialIsSpentOnce(t *testing.T) {
	store := &recording{Memory: newStore(t, app())}
	s := newService(t, Config{Store: store, DPoP: &pop.Config{}})
	tickets, p := newOnce(s), newProver(t)
	used := proof(t, p, "")
	for _, header := range []string{"", "x"} {
		if w := s.post(ticketForm, "Ticket", "1", "DPoP", header); w.Code != 400 || tickets.used["1"] {
			t.Errorf("%q: %d, used %v", header, w.Code, tickets.used)
		}
	}
	tickets.fail = unavailable(event.StoreUnavailable, errStoreAway)
	s.wantUnavailable(t, s.post(ticketForm, "Ticket", "1", "DPoP", used))
	s.wantUnavailable(t, s.post(ticketForm, "Ticket", "1"))
	s.wantUnavailable(t, s.postTo("/revoke", "token=x", "Ticket", "1"))
	s.wantUnavailable(t, s.postTo("/introspect", "token=x", "Ticket", "1"))
	if store.once.Load() != 0 {
		t.Error("the proof of a refused request is recorded")
	}
	tickets.fail = nil
	s.wantToken(t, s.post(ticketForm, "Ticket", "1", "DPoP", used))

	// A caller that has read a credential on its way cannot record proofs with it.
	for range 3 {
		s.wantUnauthorizedFor(t, "read", s.post(ticketForm, "Ticket", "1", "DPoP", proof(t, newProver(t), "")), event.MalformedCredential)
	}
	if store.once.Load() != 1 {
		t.Errorf("%d proofs are recorded", store.once.Load())
	}

	for n, path := range []string{"/token", "/revoke", "/introspect"} {
		number := string(rune('2' + n))
		for _, want := range []int{200, 401} {
			if w := s.postTo(path, ticketForm+"&token=x", "Ticket", number); w.Code != want {
				t.Errorf("%s: %d %s, want %d", path, w.Code, w.Body, want)
			}
		}
	}
}
