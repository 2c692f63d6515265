package issuer

import (
	"fmt"
	"testing"
	"testing/synctest"
)

// One client that succeeds from ever new addresses, as it has a /64 of them, and from
// many networks, takes no trust from others; its latest are trusted.
func TestLockoutTrustShares(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newGuessed(t, 12, chosen(t, "app"), chosen(t, "many"))
		s.wantToken(t, s.from(address(1), "app", "secret456"))
		trust := s.issuer.secrets.lockout.trust
		host := func(network, n int) string { return fmt.Sprintf("2001:db8:%x::%x", network, n) }
		for n := range maxBuckets + 5000 {
			host := host(n%300, n)
			trust.succeeded(attempt{"many", host, networkOf(host)})
			trust.saw(attempt{"seen", host, networkOf(host)})
		}
		if got, most := trust.addresses.len(), maxTrustedNetworks*maxTrustedAddresses+1; got > most {
			t.Errorf("%d addresses are kept", got)
		}
		if got, most := trust.networks.of.len()+trust.seen.of.len(), 2*maxTrustedNetworks+1; got > most {
			t.Errorf("%d networks are kept", got)
		}
		for range 13 {
			s.from(address(2), "app", "wrong")
			s.from(address(2), "many", "wrong")
		}
		s.wantToken(t, s.from(address(1), "app", "secret456"))
		s.wantToken(t, s.from("["+host((maxBuckets+4999)%300, maxBuckets+4999)+"]:1", "many", "secret456"))
	})
}
