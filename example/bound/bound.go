// Package bound turns the settings of the examples into what an issuer and a guard want for
// certificates of clients and for DPoP.
package bound

import (
	"strings"

	"github.com/echo-m2m/m2m/example/service"
	"github.com/echo-m2m/m2m/issuer"
	"github.com/echo-m2m/m2m/jwks/pop"
	bearer "github.com/echo-m2m/m2m/middleware"
)

// Issuer returns Config.ClientCertificates of an issuer, nil if no certificate can arrive.
func Issuer(set service.Settings) *issuer.ClientCertificates {
	if !set.Certificates() {
		return nil
	}
	origin := set.TLSOrigin
	if issuerIsAt(set.Issuer, origin) {
		origin = "" // clients need not be told of another one
	}
	return &issuer.ClientCertificates{CAs: set.ClientCAs, TrustedProxies: set.CertificateProxies, Origin: origin}
}

func issuerIsAt(identifier, origin string) bool {
	return identifier == origin || strings.HasPrefix(identifier, origin+"/")
}

// API returns Config.DPoP and Config.ClientCertificates of a guard. own is the API's URL if
// API_URL does not say it. replay records proofs; nil: a memory of this process does.
func API(set service.Settings, own string, replay pop.ReplayFunc) (*bearer.DPoP, *bearer.ClientCertificates) {
	proofs := set.DPoP
	proofs.Replay = replay
	dpop := &bearer.DPoP{BaseURL: set.APIURL(own), AliasURL: set.TLSOrigin, Proofs: proofs}
	if !set.Certificates() {
		return dpop, nil
	}
	return dpop, &bearer.ClientCertificates{TrustedProxies: set.CertificateProxies}
}
