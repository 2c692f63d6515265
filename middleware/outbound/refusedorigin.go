package outbound

import (
	"errors"
	"fmt"
	"net/url"
	"slices"
	"strings"

	"github.com/echo-m2m/m2m/jwks/fetch"
)

// maxListed bounds the origins and resources that an error names.
const maxListed = 5

// refuse is the error of a request to an origin that gets no token. It says which origin
// was asked, which are allowed, and what to write.
func (s *Source) refuse(u *url.URL) error {
	asked := originOf(u)
	if asked.host == "" {
		return errors.New("outbound: no token is sent: the request's URL has no host: write one such as https://api.example.com/orders")
	}
	return fmt.Errorf("outbound: no token is sent to %.200q: %s: %s", asked, s.allowed(), s.remedy(asked))
}

// allowed says where tokens of the Source are sent, and why nowhere.
func (s *Source) allowed() string {
	switch {
	case len(s.want.origins) > 0:
		return "the origins allowed are " + listed(s.want.origins)
	case len(s.want.resources) > 0:
		return "no origin is allowed, because Config.Origins is empty and tokens are sent to no resource of " + listed(s.want.resources)
	}
	return "no origin is allowed, because Config.Origins and Config.Resources are empty"
}

// remedy says what makes the request possible.
func (s *Source) remedy(asked origin) string {
	switch {
	case asked.scheme != "https" && asked.scheme != "http":
		return "write a URL with https"
	case !ascii(asked.host):
		return "the host is not ASCII: write its form that begins with xn--, in the URL and in Config.Origins"
	case s.family.fetcher.discovery.client.CheckURL(asked.String()) == nil:
		return s.write(asked)
	case asked.scheme == "http":
		secure := origin{scheme: "https", host: asked.host, port: asked.port}
		if asked.port == "80" {
			secure.port = "443"
		}
		advice := "write https in the URL"
		if !s.want.origins.has(secure) {
			advice += ", and " + s.write(secure)
		}
		return advice + s.insecure(asked)
	}
	return "no token is sent to this address: write another host"
}

// insecure says how an origin of http is allowed, if it can be.
func (s *Source) insecure(asked origin) string {
	if fetch.NewClient(nil, true).CheckURL(asked.String()) != nil {
		return ""
	}
	advice := "; or set Config.InsecureHTTP, which lets the network path read tokens"
	of := func(resource string) bool { u, err := url.Parse(resource); return err == nil && originOf(u) == asked }
	if len(s.family.config.Origins) == 0 && slices.ContainsFunc(s.want.resources, of) {
		return advice
	}
	return advice + ", and " + s.write(asked)
}

// write says how an origin is allowed. Config.Origins replaces the origins of the
// resources, so they are named with it.
func (s *Source) write(o origin) string {
	if len(s.family.config.Origins) > 0 {
		return fmt.Sprintf("add %.200q to Config.Origins", o)
	}
	return fmt.Sprintf("write Config.Origins: []string{%s}", listed(append(slices.Clone(s.want.origins), o)))
}

// listed returns the first few of a list, quoted.
func listed[T any](all []T) string {
	var b strings.Builder
	for i, one := range all {
		if i == maxListed {
			fmt.Fprintf(&b, " and %d more", len(all)-i)
			break
		}
		if i > 0 {
			b.WriteString(", ")
		}
		fmt.Fprintf(&b, "%.200q", fmt.Sprint(one))
	}
	return b.String()
}
