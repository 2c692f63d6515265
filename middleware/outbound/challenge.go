package outbound

import (
	"net/http"
	"strings"
)

// challenges reports whether an answer has a challenge of a scheme with an error (RFC 6750,
// section 3.1; RFC 9449, section 7.1), in any of its WWW-Authenticate headers.
func challenges(h http.Header, scheme, code string) bool {
	for _, line := range h["Www-Authenticate"] {
		within := false
		for rest := line; rest != ""; {
			var item challengeItem
			if item, rest = nextItem(rest); item.scheme != "" {
				within = strings.EqualFold(item.scheme, scheme)
			}
			if within && strings.EqualFold(item.name, "error") && item.value == code {
				return true
			}
		}
	}
	return false
}

// challengeItem is an element of WWW-Authenticate (RFC 9110, section 11.6.1): a
// parameter, the beginning of a challenge, or both.
type challengeItem struct{ scheme, name, value string }

// nextItem reads one element of the list. A scheme is a token that a space and another
// token follow, or that is alone.
func nextItem(text string) (item challengeItem, rest string) {
	text = strings.TrimLeft(text, " \t,")
	word, text := token(text)
	after := strings.TrimLeft(text, " \t")
	if !strings.HasPrefix(after, "=") {
		item.scheme = word
		if word == "" && after != "" {
			return item, after[1:] // no token: skip the character
		}
		if after == text || after == "" { // a list separator or the end follows
			return item, after
		}
		word, text = token(after)
		if after = strings.TrimLeft(text, " \t"); !strings.HasPrefix(after, "=") {
			return item, after // token68, or what is no parameter
		}
	}
	item.name = word
	item.value, rest = value(strings.TrimLeft(after[1:], " \t"))
	return item, rest
}

// token cuts off a leading token (RFC 9110, section 5.6.2).
func token(text string) (word, rest string) {
	end := strings.IndexAny(text, " \t,=\"")
	if end < 0 {
		end = len(text)
	}
	return text[:end], text[end:]
}

// value cuts off a leading token or quoted string (RFC 9110, section 5.6.4).
func value(text string) (string, string) {
	if !strings.HasPrefix(text, `"`) {
		return token(text)
	}
	var b strings.Builder
	for i := 1; i < len(text); i++ {
		switch {
		case text[i] == '"':
			return b.String(), text[i+1:]
		case text[i] == '\\' && i+1 < len(text):
			i++
		}
		b.WriteByte(text[i])
	}
	return "", "" // the string has no end
}
