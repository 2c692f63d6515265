package service

import (
	"cmp"
	"fmt"
	"net"
	"net/http"
	"net/netip"
	"os"
	"slices"
	"strings"
)

// clientIP reads TRUSTED_PROXIES: the addresses of the proxies whose
// X-Forwarded-For is believed, such as "10.0.0.0/8, 192.0.2.7", or "none" where
// callers connect without a proxy. It returns the ClientIP of an issuer and a guard,
// or nil when the variable is not set: then bounds per network are off for requests
// with headers of a proxy.
func clientIP(from *func(*http.Request) string) error {
	text := os.Getenv("TRUSTED_PROXIES")
	if text == "" {
		return nil
	}
	var trusted []netip.Prefix
	if text != "none" {
		if err := addresses("TRUSTED_PROXIES", &trusted); err != nil {
			return fmt.Errorf(`%w, or "none"`, err)
		}
	}
	*from = func(r *http.Request) string { return callerOf(r, trusted) }
	return nil
}

// addresses reads a list of addresses and prefixes with commas between them.
func addresses(name string, list *[]netip.Prefix) error {
	text := os.Getenv(name)
	if text == "" {
		return nil
	}
	for entry := range strings.SplitSeq(text, ",") {
		entry = strings.TrimSpace(entry)
		proxy, err := netip.ParsePrefix(entry)
		if address, single := netip.ParseAddr(entry); single == nil {
			proxy, err = address.Prefix(address.BitLen())
		}
		if err != nil {
			return fmt.Errorf("%s=%q: write addresses such as 10.0.0.0/8 with commas between them", name, text)
		}
		*list = append(*list, proxy)
	}
	return nil
}

// callerOf returns the last address of X-Forwarded-For that is not a trusted proxy's.
// Each proxy appends the address that called it, so addresses further left can be
// forged.
func callerOf(r *http.Request, trusted []netip.Prefix) string {
	isProxy := func(address string) bool {
		ip, err := netip.ParseAddr(address)
		return err == nil && slices.ContainsFunc(trusted, func(p netip.Prefix) bool { return p.Contains(ip.Unmap()) })
	}
	caller, _, err := net.SplitHostPort(r.RemoteAddr)
	if err != nil {
		caller = r.RemoteAddr
	}
	hops := strings.Split(strings.Join(r.Header.Values("X-Forwarded-For"), ","), ",")
	for _, hop := range slices.Backward(hops) {
		if !isProxy(caller) {
			break
		}
		caller = cmp.Or(strings.TrimSpace(hop), caller)
	}
	return caller
}
