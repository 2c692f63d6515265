package pop

import (
	"net/netip"
	"strings"
)

// cutTarget returns a URL without its query and its fragment.
func cutTarget(url string) string {
	if i := strings.IndexAny(url, "?#"); i >= 0 {
		return url[:i]
	}
	return url
}

// sameTarget reports whether an htu names the URL of a request.
func sameTarget(htu, request string) bool {
	want, ok := normalize(request)
	if !ok {
		return false
	}
	if htu == want {
		return true
	}
	got, ok := normalize(htu)
	return ok && got == want
}

// normalize returns a target URI without query and fragment, normalised by RFC 3986,
// sections 6.2.2 and 6.2.3: scheme and host in lower case, no default port, no dot
// segments, no escape sequence where none is needed, those that are in upper case.
// What clients escape before they send a request, such as "|" or "ü", counts as
// escaped. ok is false for what is not an http or https URL with a host of ASCII
// characters, and for one with user information.
func normalize(url string) (normalized string, ok bool) {
	origin, path, ok := splitTarget(url)
	if !ok {
		return "", false
	}
	escaped := make([]byte, 0, len(origin)+len(path)+16)
	escaped = append(escaped, origin...)
	if escaped, ok = appendPath(escaped, path); !ok {
		return "", false
	}
	if dots := string(escaped[len(origin):]); strings.Contains(dots, "/.") {
		return origin + removeDots(dots), true
	}
	return string(escaped), true
}

// splitTarget returns the origin, normalised, and the path as it is, "/" if it is empty.
func splitTarget(url string) (origin, path string, ok bool) {
	scheme, rest, found := strings.Cut(cutTarget(url), "://")
	if !found {
		return "", "", false
	}
	scheme = lower(scheme)
	standard := ":443"
	switch scheme {
	case "https":
	case "http":
		standard = ":80"
	default:
		return "", "", false
	}
	authority, path := rest, "/"
	if i := strings.IndexByte(rest, '/'); i >= 0 {
		authority, path = rest[:i], rest[i:]
	}
	host, port, ok := splitHost(authority)
	if !ok {
		return "", "", false
	}
	if port == ":" || port == standard {
		port = ""
	}
	return scheme + "://" + host + port, path, true
}

// splitHost returns the host, normalised, and the port with its colon, "" if there is
// none.
func splitHost(authority string) (host, port string, ok bool) {
	if strings.HasPrefix(authority, "[") {
		end := strings.IndexByte(authority, ']')
		if end < 0 {
			return "", "", false
		}
		// netip knows one spelling of each address (RFC 5952). A zone has no meaning for
		// the other side.
		address, err := netip.ParseAddr(authority[1:end])
		if err != nil || !address.Is6() || address.Zone() != "" {
			return "", "", false
		}
		host, port = "["+address.String()+"]", authority[end+1:]
	} else {
		host = lower(authority)
		if i := strings.IndexByte(authority, ':'); i >= 0 {
			host, port = host[:i], host[i:]
		}
		if !isName(host) {
			return "", "", false
		}
	}
	return host, port, isPort(port)
}

// isName reports whether a host is a name or an IPv4 address. Escape sequences in it
// are legal, and no client sends them.
func isName(host string) bool {
	for i := range len(host) {
		if !isUnreserved(host[i]) {
			return false
		}
	}
	return host != ""
}

func isPort(port string) bool {
	if port == "" {
		return true
	}
	for i := 1; i < len(port); i++ {
		if port[i] < '0' || port[i] > '9' {
			return false
		}
	}
	return port[0] == ':' && len(port) <= len(":65535")
}

// appendPath appends a path with its escape sequences normalised.
func appendPath(to []byte, path string) (escaped []byte, ok bool) {
	const digits = "0123456789ABCDEF"
	for i := 0; i < len(path); i++ {
		c := path[i]
		switch {
		case c == '%':
			if i+2 >= len(path) {
				return nil, false
			}
			high, low := unhex(path[i+1]), unhex(path[i+2])
			if high > 15 || low > 15 {
				return nil, false
			}
			i += 2
			if c = high<<4 | low; isUnreserved(c) {
				to = append(to, c)
				continue
			}
		case isUnreserved(c), strings.IndexByte("/!$&'()*+,;=:@", c) >= 0:
			to = append(to, c)
			continue
		case c <= ' ', c == 0x7f, c == '\\': // which some programs read as "/"
			return nil, false
		}
		to = append(to, '%', digits[c>>4], digits[c&15])
	}
	return to, true
}

// removeDots removes the dot segments of a path that begins with "/" (RFC 3986, section
// 5.2.4).
func removeDots(path string) string {
	var kept []string
	segments := strings.Split(path[1:], "/")
	for i, segment := range segments {
		switch segment {
		case "..":
			kept = kept[:max(0, len(kept)-1)]
		case ".":
		default:
			kept = append(kept, segment)
			continue
		}
		if i == len(segments)-1 {
			kept = append(kept, "")
		}
	}
	return "/" + strings.Join(kept, "/")
}

// isUnreserved reports whether a byte means the same with and without escaping (RFC
// 3986, section 2.3).
func isUnreserved(c byte) bool {
	return c|0x20 >= 'a' && c|0x20 <= 'z' || c >= '0' && c <= '9' || c == '-' || c == '.' || c == '_' || c == '~'
}

// unhex returns the value of a hexadecimal digit, more than 15 for another byte.
func unhex(c byte) byte {
	switch {
	case c >= '0' && c <= '9':
		return c - '0'
	case c|0x20 >= 'a' && c|0x20 <= 'f':
		return c | 0x20 - 'a' + 10
	}
	return 0xff
}

// lower folds ASCII alone: strings.ToLower makes a "k" of the Kelvin sign.
func lower(s string) string {
	for i := range len(s) {
		if s[i] >= 'A' && s[i] <= 'Z' {
			folded := []byte(s)
			for j, c := range folded {
				if c >= 'A' && c <= 'Z' {
					folded[j] = c | 0x20
				}
			}
			return string(folded)
		}
	}
	return s
}
