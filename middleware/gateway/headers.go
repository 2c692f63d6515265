package gateway

import (
	"net/http"
	"net/textproto"
	"strings"
)

// Headers that hold a caller's credential. They do not go upstream unless
// [ForwardConfig.PassAuthorization] is set, and their twins never do.
var credentialHeaders = []string{"Authorization", "Dpop", "Client-Cert", "Client-Cert-Chain", "Proxy-Authorization"}

// overrideHeaders replace the method or the path of a request at some upstreams, such as
// those of Laravel, Rails and IIS. What the policy has decided on would be another request.
var overrideHeaders = []string{"X-Http-Method-Override", "X-Http-Method", "X-Method-Override", "X-Original-Url", "X-Rewrite-Url"}

// hopHeaders are about one connection (RFC 9110, section 7.6.1), and do not go on.
var hopHeaders = []string{
	"Connection", "Keep-Alive", "Proxy-Connection", "Proxy-Authenticate", "Te", "Trailer", "Transfer-Encoding", "Upgrade", "Http2-Settings",
}

// proxyHeaders are set by proxies and servers themselves. A client may send them, and the
// proxy decides what becomes of them. A twin of one is removed: the proxy passes it on, and
// an upstream may read it in the place of what the proxy has set.
var proxyHeaders = []string{
	"Forwarded", "X-Forwarded-For", "X-Forwarded-Host", "X-Forwarded-Proto", "X-Forwarded-Port", "X-Forwarded-Prefix", "X-Forwarded-Ssl",
	"X-Real-Ip", "Content-Length", "Content-Type", "Host",
}

// nameKind says what becomes of a header on its way upstream. A name with two of them has
// the later one.
type nameKind byte

const (
	ordinary  nameKind = iota // goes on
	ofProxy                   // goes on; its twins do not
	protected                 // removed, and so are its twins
	ofHop                     // removed, and so are its twins: one of hopHeaders
)

// nameSet knows the kinds of header names. A name also finds its twins: names that an
// upstream may take for it. CGI, WSGI, PHP and others read X-Client-Id, x_client_id and
// X.Client.Id as one variable, so all characters but letters and digits count as one.
type nameSet struct {
	byLength [64][]knownName // by the length modulo 64
}

type knownName struct {
	name, folded string
	kind         nameKind
}

func newNameSet() *nameSet {
	s := new(nameSet)
	for _, name := range hopHeaders {
		s.add(name, ofHop)
	}
	for _, name := range proxyHeaders {
		s.add(name, ofProxy)
	}
	return s
}

// add gives a name a kind.
func (s *nameSet) add(name string, kind nameKind) {
	if known := s.find(name); known != nil {
		known.kind = max(known.kind, kind)
		return
	}
	folded := make([]byte, len(name))
	for i := range len(name) {
		folded[i] = fold(name[i])
	}
	slot := &s.byLength[len(name)%len(s.byLength)]
	*slot = append(*slot, knownName{name, string(folded), kind})
}

func (s *nameSet) find(name string) *knownName {
	list := s.byLength[len(name)%len(s.byLength)]
	for i := range list {
		if list[i].name == name || isFolded(name, list[i].folded) {
			return &list[i]
		}
	}
	return nil
}

// kind returns what becomes of a header with this name.
func (s *nameSet) kind(name string) nameKind {
	known := s.find(name)
	switch {
	case known == nil:
		return ordinary
	case known.kind == ofProxy && !isHeaderName(name):
		return protected
	}
	return known.kind
}

func isFolded(name, folded string) bool {
	if len(name) != len(folded) {
		return false
	}
	for i := range len(name) {
		if fold(name[i]) != folded[i] {
			return false
		}
	}
	return true
}

func fold(c byte) byte {
	switch {
	case 'a' <= c && c <= 'z', '0' <= c && c <= '9':
		return c
	case 'A' <= c && c <= 'Z':
		return c + 'a' - 'A'
	}
	return '-'
}

// endToEnd returns the headers of a request that an upstream may see, in a map of its own.
// The values are shared. Left out are:
//   - protected names and their twins, whatever the case;
//   - twins of what proxies set, such as X_Forwarded_For;
//   - hop-by-hop headers and their twins, and those that Connection lists. A proxy that
//     removes them later would remove what the gateway sets;
//   - pseudo headers, which net/http puts here for an extended CONNECT.
//
// An upgrade to a protocol of the list, and "TE: trailers", are written anew.
func endToEnd(r *http.Request, names *nameSet, upgrades []string, spare int) http.Header {
	h := make(http.Header, len(r.Header)+spare)
	ofConnection := false
	for name, values := range r.Header {
		switch names.kind(name) {
		case ordinary, ofProxy:
			if !strings.HasPrefix(name, ":") {
				h[name] = values
			}
		case ofHop:
			ofConnection = true
		case protected:
		}
	}
	if ofConnection {
		applyConnection(h, r, upgrades)
	}
	return h
}

// applyConnection removes what Connection lists, and writes an upgrade and "TE: trailers".
func applyConnection(h http.Header, r *http.Request, upgrades []string) {
	for _, line := range r.Header["Connection"] {
		for name := range strings.SplitSeq(line, ",") {
			if name = textproto.TrimString(name); name != "" {
				h.Del(name)
			}
		}
	}
	if hasToken(r.Header["Te"], "trailers") {
		h["Te"] = []string{"trailers"}
	}
	if protocol := upgradeOf(r, upgrades); protocol != "" {
		h["Connection"], h["Upgrade"] = []string{"Upgrade"}, []string{protocol}
	}
}

// upgradeOf returns the protocol that a request asks to switch to, if it is the only one it
// asks for and is in the list. After the switch no gateway checks anything, so another
// protocol, such as h2c, would let the client send further requests with headers of its own.
func upgradeOf(r *http.Request, allowed []string) string {
	asked := r.Header["Upgrade"]
	if len(asked) != 1 || r.ProtoMajor != 1 || r.ProtoMinor < 1 || !hasToken(r.Header["Connection"], "upgrade") {
		return ""
	}
	for _, protocol := range allowed {
		if strings.EqualFold(protocol, textproto.TrimString(asked[0])) {
			return protocol
		}
	}
	return ""
}

// hasToken reports whether a list of tokens (RFC 9110, section 5.6.1) has one, in any case.
// Parameters, as in "trailers;q=0.5", do not count as part of the token.
func hasToken(lines []string, token string) bool {
	for _, line := range lines {
		for item := range strings.SplitSeq(line, ",") {
			name, _, _ := strings.Cut(item, ";")
			if strings.EqualFold(textproto.TrimString(name), token) {
				return true
			}
		}
	}
	return false
}

// withoutProtected returns announced trailers without the names that endToEnd removes from
// headers. Most requests have none.
func withoutProtected(trailer http.Header, names *nameSet) http.Header {
	for name := range trailer {
		if names.kind(name) >= protected {
			kept := http.Header{}
			for name, values := range trailer {
				if names.kind(name) < protected {
					kept[name] = values
				}
			}
			return kept
		}
	}
	return trailer
}

// isHeaderName reports whether a name can be set: letters, digits and hyphens, no other
// character, since upstreams disagree on those.
func isHeaderName(name string) bool {
	return name != "" && strings.IndexFunc(name, func(c rune) bool {
		return (c < 'a' || c > 'z') && (c < 'A' || c > 'Z') && (c < '0' || c > '9') && c != '-'
	}) < 0
}

// isHeaderValue reports whether every recipient reads a value as it is: printable ASCII
// with no space around it, which would be cut off.
func isHeaderValue(value string) bool {
	if value == "" || value[0] == ' ' || value[len(value)-1] == ' ' {
		return value == ""
	}
	for i := range len(value) {
		if value[i] < ' ' || value[i] > '~' {
			return false
		}
	}
	return true
}
