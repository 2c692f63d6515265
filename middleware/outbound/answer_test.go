package outbound

import (
	"cmp"
	"context"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"os"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/echo-m2m/m2m/jwks/event"
)

// jwt is a token with an exp.
func jwt(exp time.Time) string {
	encode := base64.RawURLEncoding.EncodeToString
	return encode([]byte(`{"alg":"ES256"}`)) + "." + encode(fmt.Appendf(nil, `{"exp":%d}`, exp.Unix())) + "." + encode([]byte("signature"))
}

// TestLifetimes has every kind of expires_in with its outcome.
func TestLifetimes(t *testing.T) {
	const refused = -1
	for expiresIn, want := range map[string]time.Duration{
		``:                            assumedLife,
		`"expires_in":null`:           assumedLife,
		`"expires_in":600`:            600 * time.Second,
		`"expires_in":6e2`:            600 * time.Second,
		`"expires_in":600.9`:          600 * time.Second,
		`"expires_in":"600"`:          600 * time.Second,
		`"expires_in":1`:              time.Second,
		`"expires_in":86400`:          maxLife,
		`"expires_in":86401`:          maxLife,
		`"expires_in":1e30`:           maxLife,
		`"expires_in":1e400`:          maxLife,
		`"expires_in":"99999999999"`:  maxLife,
		`"expires_in":0`:              refused,
		`"expires_in":-1`:             refused,
		`"expires_in":-1e30`:          refused,
		`"expires_in":0.5`:            refused,
		`"expires_in":"0"`:            refused,
		`"expires_in":""`:             refused,
		`"expires_in":"-5"`:           refused,
		`"expires_in":"1e3"`:          refused,
		`"expires_in":"soon"`:         refused,
		`"expires_in":"Infinity"`:     refused,
		`"expires_in":true`:           refused,
		`"expires_in":[600]`:          refused,
		`"expires_in":{"seconds":60}`: refused,
	} {
		synctest.Test(t, func(t *testing.T) {
			if expiresIn != "" {
				expiresIn = "," + expiresIn
			}
			auth := &server{answer: alwaysAnswer(200, `{"access_token":"t","token_type":"Bearer"`+expiresIn+`}`)}
			s := newSource(t, auth, nil)
			token, err := s.Token(t.Context())
			switch {
			case want == refused:
				if _, ok := errors.AsType[*unusableError](err); !ok {
					t.Errorf("%s: the error is %v", expiresIn, err)
				}
			case err != nil || time.Until(token.Expires()) != want:
				t.Errorf("%s: %v for %v, %v", expiresIn, token, time.Until(token.Expires()), err)
			}
		})
	}
}

// TestExp has the combinations of expires_in, exp and two clocks.
func TestExp(t *testing.T) {
	const hour = time.Hour
	for name, test := range map[string]struct {
		stated int           // expires_in
		exp    time.Duration // from the server's now on
		behind time.Duration // the server's clock
		noDate bool
		want   time.Duration // 0: refused
	}{
		"exp alone":                         {0, hour, 0, false, hour},
		"exp is shorter":                    {7200, hour, 0, false, hour},
		"expires_in is shorter":             {600, hour, 0, false, 600 * time.Second},
		"server's clock is 2 h behind":      {0, hour, 2 * hour, false, assumedLife}, // or Date is wrong, and the token has expired
		"server's clock is 2 min behind":    {0, hour, 2 * time.Minute, false, 58 * time.Minute},
		"both, 2 min behind":                {3600, hour, 2 * time.Minute, false, hour},
		"both, 50 min behind":               {3600, hour, 50 * time.Minute, false, 15 * time.Minute},
		"both, 2 min ahead":                 {3600, hour, -2 * time.Minute, false, hour},
		"10 h, Date is 20 h behind":         {0, 10 * hour, 20 * hour, false, assumedLife},
		"10 h, Date is 2 h behind":          {0, 10 * hour, 2 * hour, false, 8 * hour},
		"long, both, Date is 2 h behind":    {10 * 3600, 10 * hour, 2 * hour, false, 8*hour + longestShift},
		"Date is 2 h ahead":                 {0, -hour, -2 * hour, false, assumedLife}, // by the clock here, 1 h is left
		"both, Date is 2 h ahead":           {3600, -hour, -2 * hour, false, hour},
		"both, less left here":              {7200, -hour, -2 * hour, false, hour},
		"expired by both clocks":            {3600, -hour, -hour / 2, false, 0},
		"expired by both, exp alone":        {0, -hour, hour / 2, false, 0},
		"server's clock is 2 h ahead":       {0, hour, -2 * hour, false, hour},
		"both, 2 h behind":                  {3600, hour, 2 * hour, false, hour},
		"no Date, clocks agree":             {0, hour, 0, true, hour},
		"no Date, 2 h behind":               {3600, hour, 2 * hour, true, hour}, // exp seems to have passed
		"no Date, 2 h behind, exp alone":    {0, hour, 2 * hour, true, assumedLife},
		"a Date that is a week off":         {3600, hour, 7 * 24 * hour, false, hour},
		"expired by the server's own clock": {3600, -hour, 0, false, 0},
		"exp far away":                      {0, 1000 * hour, 0, false, maxLife},
	} {
		synctest.Test(t, func(t *testing.T) {
			server := func() time.Time { return time.Now().Add(-test.behind) }
			auth := &server0{func(*http.Request) *http.Response {
				body := `{"access_token":"` + jwt(server().Add(test.exp)) + `","token_type":"Bearer"`
				if test.stated > 0 {
					body += fmt.Sprintf(`,"expires_in":%d`, test.stated)
				}
				res := answerOf(200, body+"}", "Date", server().UTC().Format(http.TimeFormat))
				if test.noDate {
					res.Header.Del("Date")
				}
				return res
			}}
			s := newSource(t, auth, nil)
			token, err := s.Token(t.Context())
			if test.want == 0 {
				if err == nil {
					t.Errorf("%s: an expired token was taken", name)
				}
				return
			}
			got := time.Until(token.Expires())
			offset := test.behind
			if test.noDate || offset > maxClockOffset {
				offset = 0
			}
			if st := s.Status(); st.ClockOffset != offset {
				t.Errorf("%s: the clock offset is %v, want %v", name, st.ClockOffset, offset)
			}
			if err != nil || got != test.want {
				t.Errorf("%s: the token lives for %v, %v, want %v", name, got, err, test.want)
			}
		})
	}
}

type server0 struct {
	answer func(*http.Request) *http.Response
}

func (s *server0) RoundTrip(r *http.Request) (*http.Response, error) { return s.answer(r), nil }

// TestHostileAnswers has every other kind of answer with its outcome.
func TestHostileAnswers(t *testing.T) {
	const ok = `"access_token":"t","token_type":"Bearer","expires_in":60`
	slow := func(err error) bool { return classify(err).slow }
	unavailable := func(err error) bool { return errors.Is(err, ErrUnavailable) && !slow(err) }
	unexplained := func(err error) bool { // slow, of all tokens, and not about the credential
		e, ok := errors.AsType[*Error](err)
		return ok && e.Code == "" && slow(err) && !classify(err).own && !errors.Is(err, ErrUnavailable)
	}
	for name, test := range map[string]struct {
		status int
		body   string
		want   func(error) bool // nil: a token
		say    string
	}{
		"fine":                       {200, "{" + ok + "}", nil, ""},
		"byte order mark":            {200, "\ufeff{" + ok + "}", nil, ""},
		"more members":               {200, `{` + ok + `,"refresh_token":"r","x":{"a":[1]}}`, nil, ""},
		"a web page":                 {200, "<html>sign in</html>", unavailable, "web page"},
		"10 MB":                      {200, `{` + ok + `,"x":"` + strings.Repeat("x", 10<<20) + `"}`, unavailable, "larger than"},
		"nothing":                    {200, "", unavailable, "JSON"},
		"201":                        {201, "{" + ok + "}", func(err error) bool { return err != nil }, "201"},
		"204":                        {204, "", func(err error) bool { return err != nil }, "204"},
		"duplicate members":          {200, `{` + ok + `,"access_token":"u"}`, unavailable, "unique names"},
		"two objects":                {200, "{" + ok + "}{}", unavailable, "JSON"},
		"an array":                   {200, "[{" + ok + "}]", unavailable, "JSON"},
		"deep":                       {200, `{` + ok + `,"x":` + strings.Repeat("[", 10000) + strings.Repeat("]", 10000) + "}", unavailable, "JSON"},
		"other case":                 {200, `{"Access_Token":"t","token_type":"Bearer","expires_in":60}`, slow, "access_token"},
		"empty token":                {200, `{"access_token":"","token_type":"Bearer"}`, slow, "access_token"},
		"token is a number":          {200, `{"access_token":5,"token_type":"Bearer"}`, slow, "access_token"},
		"a line break in the token":  {200, `{"access_token":"t\r\nX-Admin: 1","token_type":"Bearer"}`, slow, "access_token"},
		"a space in the token":       {200, `{"access_token":"t u","token_type":"Bearer"}`, slow, "access_token"},
		"a token of 17 KB":           {200, `{"access_token":"` + strings.Repeat("t", 17<<10) + `","token_type":"Bearer"}`, slow, "access_token"},
		"no token_type":              {200, `{"access_token":"t","expires_in":60}`, slow, "token_type"},
		"an error with 200":          {200, `{"error":"invalid_scope"}`, slow, "invalid_scope"},
		"an error and a token":       {200, `{"error":"no",` + ok + `}`, func(err error) bool { return err != nil }, ""},
		"a null error and a token":   {200, `{"error":null,` + ok + `}`, nil, ""},
		"an empty error and a token": {200, `{"error":"","error_description":"",` + ok + `}`, nil, ""},
		"a blank error and a token":  {200, `{"error":" ",` + ok + `}`, nil, ""},
		"a false error and a token":  {200, `{"error":false,` + ok + `}`, nil, ""},
		"a true error and a token":   {200, `{"error":true,` + ok + `}`, unexplained, "without an OAuth error"},
		"an object as error":         {200, `{"error":{"code":5},` + ok + `}`, unexplained, "without an OAuth error"},
		"an empty error alone":       {200, `{"error":""}`, slow, "access_token"},
		"temporarily, with 200":      {200, `{"error":"temporarily_unavailable"}`, unavailable, "temporarily_unavailable"},
		"server_error with 200":      {200, `{"error":"server_error",` + ok + `}`, unavailable, "server_error"},
		"invalid_client with 200":    {200, `{"error":"invalid_client"}`, func(err error) bool { return slow(err) && !classify(err).own }, "invalid_client"},
		"400 without a code":         {400, `bad request`, unexplained, "without an OAuth error"},
		"400 with a null code":       {400, `{"error":null}`, unexplained, "without an OAuth error"},
		"400 with a blank code":      {400, `{"error":" "}`, unexplained, "without an OAuth error"},
		"400 with another error":     {400, `{"error":{"type":"OAuthException"}}`, unexplained, "without an OAuth error"},
		"403 of a firewall":          {403, "<html>blocked</html>", unexplained, "403"},
		"405":                        {405, "", unexplained, "405"},
		"407":                        {407, "", unexplained, "407"},
		"invalid_client":             {401, `{"error":"invalid_client"}`, slow, "invalid_client"},
		"401 without JSON":           {401, `no`, slow, "401"},
		"unauthorized_client":        {400, `{"error":"unauthorized_client"}`, slow, "unauthorized_client"},
		"invalid_scope":              {400, `{"error":"invalid_scope","error_description":"no such\nscope"}`, slow, "invalid_scope: no suchscope"},
		"invalid_target":             {400, `{"error":"invalid_target"}`, slow, "invalid_target"},
		"a code of the server's":     {400, `{"error":"invalid_resource"}`, func(err error) bool { return classify(err).own && slow(err) }, "invalid_resource"},
		"server_error with 400":      {400, `{"error":"server_error"}`, unavailable, "server_error"},
		"refused client is of all":   {400, `{"error":"unauthorized_client"}`, func(err error) bool { return !classify(err).own && slow(err) }, ""},
		"429 with a code":            {429, `{"error":"slow_down"}`, unavailable, "429"},
		"a code with control bytes":  {400, `{"error":"in\u0000valid"}`, func(err error) bool { return err != nil && !strings.Contains(err.Error(), "valid") }, "400"},
		"a long code":                {400, `{"error":"` + strings.Repeat("x", 10000) + `"}`, func(err error) bool { return len(err.Error()) < 500 }, "400"},
		"a long description":         {400, `{"error":"x","error_description":"` + strings.Repeat("x", 10000) + `"}`, func(err error) bool { return len(err.Error()) < 500 }, "400"},
		"404":                        {404, "not found", func(err error) bool { return !slow(err) }, "404"},
		"410":                        {410, "", func(err error) bool { return !slow(err) }, "410"},
		"421":                        {421, "", func(err error) bool { return !slow(err) }, "421"},
		"unsupported_grant_type":     {400, `{"error":"unsupported_grant_type"}`, func(err error) bool { return !classify(err).own && slow(err) }, ""},
		"429":                        {429, "", unavailable, "429"},
		"500 with a token":           {500, "{" + ok + "}", unavailable, "500"},
		"503":                        {503, `{"error":"temporarily_unavailable"}`, unavailable, "temporarily_unavailable"},
		"502 with 10 MB":             {502, strings.Repeat("x", 10<<20), unavailable, "502"},
		"a redirect without address": {302, "", unavailable, "redirects"},
	} {
		typ := "application/json"
		if strings.HasPrefix(test.body, "<html") {
			typ = "text/html; charset=utf-8"
		}
		s := newSource(t, &server0{func(*http.Request) *http.Response { return answerOf(test.status, test.body, "Content-Type", typ) }}, nil)
		ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
		_, err := firstError(ctx, s)
		cancel()
		switch {
		case test.want == nil && err != nil:
			t.Errorf("%s: %v", name, err)
		case test.want != nil && (err == nil || !test.want(err) || !strings.Contains(err.Error(), test.say)):
			t.Errorf("%s: the error is %v", name, err)
		}
	}
}

// A refusal without a code is tried slowly, by one, and reported as what it is.
func TestUnexplainedRefusalIsTriedSlowly(t *testing.T) {
	for _, status := range []int{400, 403} {
		synctest.Test(t, func(t *testing.T) {
			auth := &server{answer: alwaysAnswer(status, "<html>blocked</html>")}
			s := newSource(t, auth, nil)
			began := time.Now()
			for time.Since(began) < 5*time.Minute {
				for _, err := range together(t, s, 10) {
					if e, ok := errors.AsType[*Error](err); !ok || e.Status != status || e.Code != "" {
						t.Fatalf("the error is %v", err)
					}
				}
				time.Sleep(time.Second)
			}
			if got := auth.count(); got < 2 || got > 6 {
				t.Errorf("%d: %d requests in 5 min", status, got)
			}
			if is := s.cell.Load().troubleOf(s.Status().LastError, time.Now()); is != trouble(event.TokenUnavailable) {
				t.Errorf("%d: the reason is %s", status, is)
			}
			auth.set(func(s *server) { s.answer = nil })
			time.Sleep(slowestDelay)
			wantAny(t, s)
		})
	}
}

// Retry-After of an error with status 200 is kept.
func TestRetryAfterWith200(t *testing.T) {
	s := newSource(t, &server{answer: alwaysAnswer(200, `{"error":"temporarily_unavailable"}`, "Retry-After", "600")}, nil)
	if _, err := firstError(t.Context(), s); classify(err).retryAfter != 10*time.Minute {
		t.Errorf("%v: the next try is after %v", err, classify(err).retryAfter)
	}
}

// firstError is the result of one fetch, without retries.
func firstError(ctx context.Context, s *Source) (*grant, error) {
	return s.family.fetcher.fetch(ctx, s.want, &uses{})
}

// Of an endless answer, little is read.
func TestEndlessAnswer(t *testing.T) {
	for _, status := range []int{200, 400, 500} {
		read := 0
		s := newSource(t, &server0{func(*http.Request) *http.Response {
			res := answerOf(status, "")
			res.Body = io.NopCloser(readerFunc(func(p []byte) (int, error) {
				if read += len(p); read > 8<<20 {
					return 0, io.EOF
				}
				return len(p), nil
			}))
			return res
		}}, nil)
		if _, err := firstError(t.Context(), s); err == nil {
			t.Errorf("status %d: there is a token", status)
		}
		if read > 4*maxAnswer {
			t.Errorf("status %d: %d bytes were read", status, read)
		}
	}
}

// A body that arrives byte by byte ends with the fetch's own timeout.
func TestSlowDrip(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		drip := roundTrip(func(r *http.Request) (*http.Response, error) {
			res := answerOf(200, "")
			res.Body = io.NopCloser(readerFunc(func(p []byte) (int, error) {
				select {
				case <-time.After(time.Second):
					return copy(p, " "), nil
				case <-r.Context().Done():
					return 0, r.Context().Err()
				}
			}))
			return res, nil
		})
		s := newSource(t, drip, nil)
		began := time.Now()
		_, err := s.Token(t.Context())
		wantUnavailable(t, err)
		if took := time.Since(began); took < 5*time.Second || took > 10*time.Second {
			t.Errorf("the call took %v", took)
		}
	})
}

// A token that has expired when its answer arrives is not used.
func TestTokenThatArrivesTooLate(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newSource(t, &server{life: 1, takes: 2 * time.Second}, nil)
		token, err := s.Token(t.Context())
		wantUnavailable(t, err)
		if token.Text() != "" {
			t.Errorf("the token is %q", token.Text())
		}
	})
}

// FuzzAnswer holds what the parser accepts against what may become a request.
func FuzzAnswer(f *testing.F) {
	seeds := []string{
		`{"access_token":"t","token_type":"Bearer","expires_in":60}`,
		`{"access_token":"t","token_type":"bearer","expires_in":"60","scope":"a b"}`,
		`{"access_token":"t","token_type":"Bearer","expires_in":1e30}`,
		`{"access_token":"t","token_type":"Bearer","expires_in":-1}`,
		`{"access_token":"t\n","token_type":"Bearer"}`,
		`{"error":"invalid_client","error_description":"x"}`,
		`{"access_token":"a","access_token":"b","token_type":"Bearer"}`,
		`{"error":"x","error_description":"` + strings.Repeat("long ", 200) + `"}`,
		`<html>`, ``, `{`, `null`,
	}
	for _, seed := range seeds {
		f.Add(seed)
	}
	if entries, err := os.ReadDir("testdata/fuzz/FuzzAnswer"); err != nil || len(entries) == 0 {
		f.Fatalf("the seed corpus is empty: %v", err)
	}
	fetches := &fetcher{config: &Config{ClientID: "client"}}
	f.Fuzz(func(t *testing.T, body string) {
		a, err := parseAnswer(body, schemeBearer)
		if (a == nil) == (err == nil) {
			t.Fatalf("%v, %v", a, err)
		}
		if err != nil {
			if text := fetches.censor(err, attempt{secret: testSecret}).Error(); len(text) > 500 || strings.ContainsAny(text, "\n\r\x00") {
				t.Errorf("the error is %q", text)
			}
			return
		}
		if a.token == "" || strings.ContainsAny(a.token, " \t\r\n\x00") || len(a.token) > maxToken {
			t.Errorf("the token is %q", a.token)
		}
		if a.stated && (a.life < time.Second || a.life > maxLife) || !a.stated && a.life != 0 {
			t.Errorf("a lifetime of %v, stated: %v", a.life, a.stated)
		}
		sent := time.Now()
		if life := lifeOf(a, sent, sent, 0, false); life <= 0 || life > maxLife {
			t.Errorf("it is used for %v", life)
		}
		plan := schedule(sent, cmp.Or(a.life, assumedLife), func(n time.Duration) time.Duration { return rand.N(n + 1) })
		if plan.refresh.Before(sent) || plan.refresh.After(plan.until) || !plan.until.Before(plan.expires) {
			t.Errorf("%+v", plan)
		}
		if strings.Count(body, a.token) == 0 && !strings.Contains(body, `\`) {
			t.Errorf("the token %q is not in the answer", a.token)
		}
	})
}
