package issuer

import (
	"syscall"
	"testing"
	"time"
)

func cpu() time.Duration {
	var u syscall.Rusage
	_ = syscall.Getrusage(syscall.RUSAGE_SELF, &u)
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}

func TestZZTiming(t *testing.T) {
	key, other := newPair(t), newPair(t)
	only := keyed(t, "secret", key)
	only.AuthMethod = "client_secret_basic"
	dis := keyed(t, "dis", key)
	dis.Disabled = true
	s := newService(t, Config{}, keyed(t, "keyed", key), only, dis, app())
	s.issuer.observe = nil
	h := s.issuer.Handler()
	forms := map[string]string{}
	for name, id := range map[string]string{"known": "keyed", "unknown": "nobody", "nokeys": "app", "disabled": "dis", "secret": "secret"} {
		forms[name] = asserted(other.sign(t, key.header().text(t), assertionOf(id).with(claims{"exp": time.Now().Unix() + 300}).text(t)))
	}
	forms["badkid"] = asserted(other.sign(t, key.header().with(claims{"kid": "x"}).text(t), assertionOf("keyed").with(claims{"exp": time.Now().Unix() + 300}).text(t)))
	d := discarded{header: map[string][]string{}}
	sum := map[string]time.Duration{}
	for range 60 {
		for name, f := range forms {
			b := cpu()
			for range 100 {
				h.ServeHTTP(&d, newForm("/token", f))
			}
			sum[name] += cpu() - b
		}
	}
	for name, s := range sum {
		t.Log(name, s/6000)
	}
}
