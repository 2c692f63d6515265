package gateway

import (
	"context"
	"net/http"
	"time"

	"github.com/echo-m2m/m2m/jwks/event"
	bearer "github.com/echo-m2m/m2m/middleware"
)

// judgeTimeout bounds what Config.ShadowAuth may take for one request.
const judgeTimeout = 10 * time.Second

// outcome is what one side, the one that decides or the one in shadow, makes of a request.
// It is let in if reason is empty.
type outcome struct {
	rule   *rule // nil: no rule took part
	reason event.Reason
}

func (v verdict) outcome() outcome { return outcome{v.rule, v.reason} }

// candidate is what the policy in shadow decides.
func (s *state) candidate(route, method string, t *bearer.Token) outcome {
	if s.shadow != nil {
		return s.shadow.decide(route, method, t).outcome()
	}
	return s.policy.rehearse(route, method, t).outcome()
}

// rehearse judges a request with a valid token by what is in shadow.
func (p *passage) rehearse(t *bearer.Token, v verdict) {
	s := p.state
	switch {
	case s.report == nil:
	case p.gateway.shadowAuth == nil:
		s.report.add(v.outcome(), s.candidate(p.route, p.method, t), client{t.Issuer, t.ClientID})
	default:
		p.judge(v.outcome(), client{t.Issuer, t.ClientID})
	}
}

// rehearseRefused does so for a request without a valid token.
func (p *passage) rehearseRefused(e *bearer.Error) {
	now := outcome{reason: e.Reason()}
	switch {
	case p.state.report == nil:
	case p.gateway.shadowAuth == nil:
		p.state.report.add(now, now, client{})
	default:
		p.judge(now, client{})
	}
}

// judge asks Config.ShadowAuth about the request, while the request goes on. What it asks
// may be slow, and may be code of the app that panics.
func (p *passage) judge(now outcome, of client) {
	g, report := p.gateway, p.state.report
	if g.closed.Load() {
		report.skip()
		return
	}
	select {
	case g.slots <- struct{}{}:
	default:
		report.skip()
		return
	}
	report.begin()
	ctx, cancel := context.WithTimeout(context.WithoutCancel(p.request.Context()), judgeTimeout)
	r := p.request.Clone(ctx) // the handler may change the request
	r.Body, r.Form, r.PostForm, r.MultipartForm = http.NoBody, nil, nil, nil
	go func() {
		judged := false
		defer func() {
			if failure := recover(); failure != nil || !judged {
				report.skip()
			}
			cancel()
			report.end()
			<-g.slots
		}()
		then := outcome{}
		t, e := g.shadowAuth.Judge(r)
		switch {
		case e != nil:
			then.reason = e.Reason()
		default:
			then = p.state.candidate(p.route, p.method, t)
			if of == (client{}) {
				of = client{t.Issuer, t.ClientID}
			}
		}
		report.add(now, then, of)
		judged = true
	}()
}
