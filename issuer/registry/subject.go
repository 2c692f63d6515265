package registry

import (
	"net/netip"
	"net/url"
	"strings"
)

// subjectField is one of the fields that say whose certificate is the client's.
type subjectField struct {
	name, value string
	valid       func(string) bool
	write       string // what to write
}

// subjects returns these fields, of which at most one may be set (RFC 8705, section
// 2.1.2).
func (c *Client) subjects() [5]subjectField {
	return [...]subjectField{
		{"Client.TLSClientAuthSubjectDN", c.TLSClientAuthSubjectDN, isDN, "a distinguished name (RFC 4514), such as CN=billing,O=Example"},
		{"Client.TLSClientAuthSANDNS", c.TLSClientAuthSANDNS, isHostname, "a host name in ASCII without a wildcard"},
		{"Client.TLSClientAuthSANURI", c.TLSClientAuthSANURI, isASCIIURI, "an absolute URI in ASCII"},
		{"Client.TLSClientAuthSANIP", c.TLSClientAuthSANIP, isCanonicalIP, "an IP address in its canonical form (RFC 5952), without a zone"},
		{"Client.TLSClientAuthSANEmail", c.TLSClientAuthSANEmail, isEmail, "an address such as billing@example.com"},
	}
}

// subject returns the value of the field that is set, or "".
func (c *Client) subject() string {
	return c.TLSClientAuthSubjectDN + c.TLSClientAuthSANDNS + c.TLSClientAuthSANURI + c.TLSClientAuthSANIP + c.TLSClientAuthSANEmail
}

func (c *Client) validateSubject() error {
	first := ""
	for _, f := range c.subjects() {
		switch {
		case f.value == "":
			continue
		case first != "":
			return invalid(f.name, "is set beside %s: write one of them", first)
		case len(f.value) > maxText || !f.valid(f.value):
			return invalid(f.name, "%.300q: write %s, at most %d bytes", f.value, f.write, maxText)
		}
		first = f.name
	}
	return nil
}

func isDN(s string) bool {
	return isText(s, maxText) && strings.IndexByte(s, '=') > 0 && strings.TrimSpace(s) == s && !strings.ContainsFunc(s, isControl)
}

func isControl(r rune) bool { return r < ' ' || r == 0x7f }

// isHostname reports whether the text is a host name: labels of letters, digits, hyphens
// and underscores. A wildcard is none, because the name is compared as a whole.
func isHostname(s string) bool {
	if len(s) > 253 {
		return false
	}
	for label := range strings.SplitSeq(s, ".") {
		if label == "" || len(label) > 63 || label[0] == '-' || label[len(label)-1] == '-' || strings.ContainsFunc(label, notHostname) {
			return false
		}
	}
	return true
}

func notHostname(r rune) bool {
	return (r < 'a' || r > 'z') && (r < 'A' || r > 'Z') && (r < '0' || r > '9') && r != '-' && r != '_'
}

func isASCIIURI(s string) bool {
	u, err := url.Parse(s)
	return err == nil && u.IsAbs() && isGraphic(s)
}

// isGraphic reports whether the text is printable ASCII without space.
func isGraphic(s string) bool { return isVSChar(s, maxText) && !strings.Contains(s, " ") }

// isCanonicalIP wants the one spelling of an address. An IPv4 address inside IPv6 is
// none: a certificate has it as IPv4.
func isCanonicalIP(s string) bool {
	address, err := netip.ParseAddr(s)
	return err == nil && address.Zone() == "" && !address.Is4In6() && address.String() == s
}

func isEmail(s string) bool {
	local, domain, ok := strings.Cut(s, "@")
	return ok && local != "" && isGraphic(local) && isHostname(domain)
}
