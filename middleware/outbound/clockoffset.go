package outbound

import (
	"encoding/base64"
	"net/http"
	"strings"
	"time"

	"github.com/echo-m2m/m2m/jwks/fetch"
	"github.com/echo-m2m/m2m/jwks/jose"
)

// maxClockOffset bounds what is believed of a Date header. A larger difference is more
// likely that of a cached answer.
const maxClockOffset = 24 * time.Hour

// clockOffset returns by how much the clock here is ahead of the server's, from the Date
// of an answer (RFC 9110, section 6.6.1). known is false without a Date that can be used.
func clockOffset(h http.Header, received time.Time) (offset time.Duration, known bool) {
	date, err := http.ParseTime(h.Get("Date"))
	if err != nil {
		return 0, false
	}
	offset = received.Round(0).Sub(date)
	return offset, offset.Abs() <= maxClockOffset
}

// expiry returns the exp of a token that is a JWT, by the issuer's clock. The signature
// is not checked: the token came from the issuer's endpoint, and exp can only shorten its
// use or replace a lifetime that is missing.
func expiry(token string) (exp time.Time, ok bool) {
	parts := strings.Split(token, ".")
	if len(parts) != 3 {
		return time.Time{}, false
	}
	payload, err := base64.RawURLEncoding.DecodeString(parts[1])
	if err != nil {
		return time.Time{}, false
	}
	claims, err := jose.ParseObject(string(payload))
	if err != nil {
		return time.Time{}, false
	}
	exp, ok, err = claims.Time("exp")
	return exp, ok && err == nil
}

// retryAfter returns what Retry-After asks for, at most maxRetryAfter. A date is read by
// the server's clock.
func retryAfter(h http.Header, received time.Time) time.Duration {
	d := fetch.RetryAfter(h)
	if _, err := http.ParseTime(h.Get("Retry-After")); err == nil {
		if offset, known := clockOffset(h, received); known {
			d = min(d, maxRetryAfter+maxClockOffset) + offset // a date in the year 9999 would overflow
		}
	}
	return min(max(d, 0), maxRetryAfter)
}
