package registry

import (
	"fmt"
	"net/url"
	"slices"
	"strings"
	"unicode"
)

// Workload is a program that another issuer knows, such as a Kubernetes service account
// or a CI job. It authenticates as the client with a token of that issuer (RFC 7523). The
// token must have exactly this issuer, this subject and, among others, this audience.
type Workload struct {
	// Issuer is the token's iss: an https URL, http on the loopback, or a SPIFFE trust
	// domain such as spiffe://example.org.
	Issuer string `json:"issuer"`

	// Subject is the token's sub, such as system:serviceaccount:billing:reports. A
	// default service account of Kubernetes is refused, because every pod of the namespace
	// that names no account has it.
	Subject string `json:"subject"`

	// Audience is the token's aud, or one of them. Do not use one that other servers
	// accept: they could use the token here.
	Audience string `json:"audience"`

	// InsecureSharedSubject allows a subject that several programs share: a default
	// service account, or a subject that ends in *, which stands for any rest that has
	// at least one character. They are all this client then.
	InsecureSharedSubject bool `json:"insecure_shared_subject,omitempty"`
}

const maxWorkloads = 32

func (c *Client) validateWorkloads() error {
	if len(c.Workloads) > maxWorkloads {
		return invalid("Client.Workloads", "has %d entries: write at most %d", len(c.Workloads), maxWorkloads)
	}
	for n := range c.Workloads {
		w := &c.Workloads[n]
		if field, problem := w.problem(); problem != "" {
			return invalid(fmt.Sprintf("Client.Workloads[%d].%s", n, field), "%s", problem)
		}
		if slices.ContainsFunc(c.Workloads[:n], w.same) {
			return invalid(fmt.Sprintf("Client.Workloads[%d]", n), "is that of an earlier entry")
		}
	}
	return nil
}

func (w *Workload) same(other Workload) bool {
	return w.Issuer == other.Issuer && w.Subject == other.Subject && w.Audience == other.Audience
}

// problem returns which field is wrong, and what is wrong with it.
func (w *Workload) problem() (field, problem string) {
	wildcard := strings.IndexByte(w.Subject, '*')
	switch {
	case !isRemote(w.Issuer) && !isTrustDomain(w.Issuer):
		return "Issuer", fmt.Sprintf("%.300q: write an https URL, http on the loopback, or spiffe:// and a trust domain", w.Issuer)
	case w.Subject == "" || !isText(w.Subject, maxText) || strings.ContainsFunc(w.Subject, notPrint):
		return "Subject", fmt.Sprintf("%.300q: write 1 to %d bytes of printable UTF-8", w.Subject, maxText)
	case !isAudience(w.Audience):
		return "Audience", fmt.Sprintf("%.300q: write 1 to %d bytes of printable UTF-8 without white space", w.Audience, maxText)
	case wildcard == 0 || wildcard > 0 && wildcard < len(w.Subject)-1:
		return "Subject", fmt.Sprintf("%.300q: write * at the end only, behind what the subjects begin with", w.Subject)
	case wildcard > 0 && !w.InsecureSharedSubject:
		return "Subject", fmt.Sprintf("%.300q is the subject of several programs: write one without *, or set Workload.InsecureSharedSubject", w.Subject)
	case isDefaultAccount(w.Subject) && !w.InsecureSharedSubject:
		return "Subject", fmt.Sprintf("%.300q is a default service account, which every pod without an account has: write an account of its own, or set Workload.InsecureSharedSubject", w.Subject)
	}
	return "", ""
}

func notPrint(r rune) bool { return !unicode.IsPrint(r) }

// isDefaultAccount reports whether the subject is the service account that Kubernetes
// gives to a pod that names none, in the form of a service account token or of a SPIFFE
// id.
func isDefaultAccount(subject string) bool {
	rest, ok := strings.CutPrefix(subject, "system:serviceaccount:")
	_, account, _ := strings.Cut(rest, ":")
	return ok && account == "default" || strings.HasPrefix(subject, "spiffe://") && strings.HasSuffix(subject, "/sa/default")
}

// isTrustDomain reports whether the text is the id of a SPIFFE trust domain.
func isTrustDomain(s string) bool {
	u, err := url.Parse(s)
	return err == nil && u.Scheme == "spiffe" && s == "spiffe://"+u.Host && isHostname(u.Host) && u.Host == strings.ToLower(u.Host)
}
