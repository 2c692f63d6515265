package gateway

import (
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"strings"
	"unicode/utf8"
)

// checkPath refuses a request whose path the router and an upstream could read in
// different ways. A request that it accepts has a path of non-empty segments, none of which
// can be taken for a dot segment or for two segments, whatever is decoded or normalised.
func checkPath(r *http.Request) error {
	u := r.URL
	switch {
	case u == nil:
		return errors.New("gateway: the request has no URL")
	case u.Scheme != "" || u.Host != "" || u.Opaque != "" || u.User != nil:
		return errors.New("gateway: the request target is not a path")
	case !strings.HasPrefix(u.Path, "/"):
		return errors.New("gateway: the path does not begin with a slash")
	}
	if u.RawPath != "" {
		if err := checkSpelling(u.Path, u.RawPath); err != nil {
			return err
		}
	}
	return checkDecoded(u.Path)
}

// checkSpelling checks a path that is not encoded as net/url does it. Echo routes by this
// spelling, and net/url ignores it if it does not decode to the path.
func checkSpelling(path, raw string) error {
	if decoded, err := url.PathUnescape(raw); err != nil || decoded != path {
		return errors.New("gateway: the path has two spellings that differ")
	}
	for i := range len(raw) {
		if c := raw[i]; c <= ' ' || c >= 0x7f || c == '#' || c == '?' {
			return fmt.Errorf("gateway: the path has the byte %#02x, which is not encoded", c)
		}
	}
	if strings.Count(raw, "/") != strings.Count(path, "/") {
		return errors.New("gateway: the path has an encoded slash")
	}
	return nil
}

func checkDecoded(path string) error {
	ascii := true
	segment := 1 // where it begins
	for i := 1; i < len(path); i++ {
		switch c := path[i]; {
		case c == '/':
			if err := checkSegment(path[segment:i]); err != nil {
				return err
			}
			segment = i + 1
		case c == '\\' || c == ';' || c == '?': // Apache httpd had a "?" begin the query after it was decoded (CVE-2024-38474)
			return fmt.Errorf("gateway: the path has a %q", c)
		case c < ' ' || c == 0x7f:
			return fmt.Errorf("gateway: the path has the control character %#02x", c)
		case c == '%':
			if i+2 < len(path) && isHex(path[i+1]) && isHex(path[i+2]) {
				return errors.New("gateway: the path is encoded twice")
			}
		case c >= utf8.RuneSelf:
			ascii = false
		}
	}
	if !ascii {
		if !utf8.ValidString(path) {
			return errors.New("gateway: the path is not UTF-8")
		}
		if strings.ContainsFunc(path, func(r rune) bool { return r >= 0x80 && r < 0xa0 }) {
			return errors.New("gateway: the path has a control character")
		}
	}
	if last := path[segment:]; last != "" { // a slash at the end is no empty segment
		return checkSegment(last)
	}
	return nil
}

func checkSegment(s string) error {
	switch s {
	case "":
		return errors.New("gateway: the path has an empty segment")
	case ".", "..":
		return errors.New("gateway: the path has a dot segment")
	}
	return nil
}

func isHex(c byte) bool {
	return c >= '0' && c <= '9' || c >= 'a' && c <= 'f' || c >= 'A' && c <= 'F'
}
