package outbound

import (
	"encoding/base64"
	"errors"
	"net/url"
	"strconv"
	"strings"
)

// withhold replaces an error that quotes a credential, as net/http does with parts of a
// broken answer.
func (f *fetcher) withhold(err error, a attempt) error {
	if f.quotes(err.Error(), a) {
		return errors.New("the cause is withheld: it quotes the " + a.noun())
	}
	return err
}

// censor empties the texts of a refusal that quote a credential, and cuts the description
// to 200 bytes after that, as a part of a secret is not recognised.
func (f *fetcher) censor(err error, a attempt) error {
	e, ok := errors.AsType[*Error](err)
	if !ok {
		return err
	}
	code := f.quotes(e.Code, a)
	if code || f.quotes(e.Description, a) {
		e.Description = "withheld: it quotes the " + a.noun()
	}
	if code {
		e.Code = ""
	}
	e.Description = e.Description[:min(len(e.Description), 200)]
	return err
}

// quotable is how many bytes of a part of an assertion or a proof are looked for. Texts
// that quote one may be cut.
const quotable = 32

// quotes reports whether a text has a credential in a form in which it is sent, or the
// beginning of a part of an assertion or a proof.
func (f *fetcher) quotes(text string, a attempt) bool {
	for _, token := range []string{a.assertion, a.proof} {
		if quotesJWT(text, token) {
			return true
		}
	}
	secret := a.secret
	if secret == "" {
		return false
	}
	id, escaped := f.config.ClientID, url.QueryEscape(secret)
	quoted := strconv.Quote(secret) // as net/http writes parts of a broken answer
	for _, form := range []string{
		secret, printable(secret), escaped, quoted[1 : len(quoted)-1],
		base64.StdEncoding.EncodeToString([]byte(id + ":" + secret)),
		base64.StdEncoding.EncodeToString([]byte(url.QueryEscape(id) + ":" + escaped)),
	} {
		if form != "" && strings.Contains(text, form) {
			return true
		}
	}
	return false
}

// quotesJWT reports whether a text has a token, or the beginning of a part of it.
func quotesJWT(text, token string) bool {
	for part := range strings.SplitSeq(token, ".") {
		if len(part) >= quotable && strings.Contains(text, part[:quotable]) {
			return true
		}
	}
	return token != "" && strings.Contains(text, token)
}
