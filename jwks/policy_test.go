package jwks

import (
	"math"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/echo-m2m/m2m/jwks/jose"
)

func policyOf(alg string, rotateEvery, announce, retain, maxAge, poll, skew time.Duration) Policy {
	return Policy{Algorithm: alg, RotateEvery: rotateEvery, Announce: announce, Retain: retain, MaxAge: maxAge, Poll: poll, Skew: skew}
}

func TestPolicyDefaults(t *testing.T) {
	for _, tt := range []struct{ give, want Policy }{
		{Policy{}, policyOf("ES256", 30*day, day, day, 5*time.Minute, time.Minute, time.Minute)},
		{Policy{MaxAge: time.Minute}, policyOf("ES256", 30*day, day, day, time.Minute, 30*time.Second, time.Minute)},
		{Policy{MaxAge: time.Hour}, policyOf("ES256", 30*day, day, day, time.Hour, time.Minute, time.Minute)},
		{ // a rotation every few seconds
			Policy{Algorithm: "EdDSA", RotateEvery: 10 * time.Second, Announce: 4 * time.Second, Retain: 5 * time.Second, MaxAge: 2 * time.Second},
			policyOf("EdDSA", 10*time.Second, 4*time.Second, 5*time.Second, 2*time.Second, time.Second, 400*time.Millisecond),
		},
		{ // each field at its bound
			Policy{RotateEvery: 10 * time.Second, Announce: 10 * time.Second, Retain: 320 * time.Second, MaxAge: 7 * time.Second, Poll: 2 * time.Second, Skew: time.Second},
			policyOf("ES256", 10*time.Second, 10*time.Second, 320*time.Second, 7*time.Second, 2*time.Second, time.Second),
		},
	} {
		got, err := tt.give.withDefaults()
		if !reflect.DeepEqual(got, tt.want) || err != nil {
			t.Errorf("%+v became %+v: %v", tt.give, got, err)
		}
		if again, err := got.withDefaults(); !reflect.DeepEqual(again, got) || err != nil {
			t.Errorf("%+v then became %+v: %v", got, again, err)
		}
	}
	for _, alg := range jose.Algorithms() {
		if p, err := (Policy{Algorithm: alg}).withDefaults(); p.Algorithm != alg || err != nil {
			t.Errorf("%s: %v", alg, err)
		}
	}
}

func TestPolicyRefuses(t *testing.T) {
	const forever = time.Duration(math.MaxInt64)
	for _, tt := range []struct {
		name   string
		policy Policy
		want   string // the field, and what to write
	}{
		{"algorithm", Policy{Algorithm: "HS256"}, `Policy.Algorithm "HS256": write one of ES256,`},
		{"algorithm none", Policy{Algorithm: "none"}, "Policy.Algorithm"},
		{"algorithm in lower case", Policy{Algorithm: "es256"}, "Policy.Algorithm"},
		{"negative RotateEvery", Policy{RotateEvery: -1}, "Policy.RotateEvery is -1ns: write"},
		{"negative Announce", Policy{Announce: -time.Hour}, "Policy.Announce is -1h0m0s: write"},
		{"negative Retain", Policy{Retain: -1}, "Policy.Retain"},
		{"negative MaxAge", Policy{MaxAge: -1}, "Policy.MaxAge"},
		{"negative Poll", Policy{Poll: -1}, "Policy.Poll"},
		{"negative Skew", Policy{Skew: -1}, "Policy.Skew"},
		{"MaxAge under a second", Policy{MaxAge: time.Second - 1}, "Policy.MaxAge"},
		{"Poll of a nanosecond", Policy{Poll: 1}, "Policy.Poll"},
		{"Announce too short", Policy{Announce: 6 * time.Minute}, "write at least MaxAge + Poll + Skew = 6m36s"},
		{"Announce too short by 1 ns", Policy{RotateEvery: 10 * time.Second, Announce: 10*time.Second - 1, Retain: time.Second, MaxAge: 7 * time.Second, Poll: 2 * time.Second, Skew: time.Second}, "Policy.Announce is 9.999999999s: write at least MaxAge + Poll + Skew = 10s"},
		{"MaxAge too long", Policy{MaxAge: 48 * time.Hour}, "Policy.Announce"},
		{"Poll too long", Policy{Poll: day}, "Policy.Announce"},
		{"Skew too long", Policy{Skew: day}, "Policy.Announce"},
		{"RotateEvery too short", Policy{RotateEvery: day - 1}, "Policy.RotateEvery is 23h59m59.999999999s: write at least Announce = 24h0m0s"},
		{"Retain too long", Policy{Retain: 33 * 30 * day}, "Policy.Retain is 23760h0m0s: with RotateEvery = 720h0m0s that publishes too many keys; write at most 23040h0m0s"},
		{"MaxAge forever", Policy{MaxAge: forever}, "Policy.MaxAge"},
		{"Poll forever", Policy{Poll: forever}, "Policy.Poll"},
		{"Skew forever", Policy{Skew: forever}, "Policy.Skew"},
		{"Retain forever", Policy{Retain: forever}, "Policy.Retain"},
		{"all forever", Policy{RotateEvery: forever, Announce: forever, Retain: forever, MaxAge: forever, Poll: forever, Skew: forever}, "Policy."},
		{"half of forever", Policy{RotateEvery: forever, Announce: forever, MaxAge: forever / 2, Poll: forever / 2, Skew: forever / 2}, "Policy."},
	} {
		_, err := tt.policy.withDefaults()
		if err == nil || !strings.HasPrefix(err.Error(), "jwks: Policy.") || !strings.Contains(err.Error(), tt.want) {
			t.Errorf("%s: %v", tt.name, err)
		}
	}
}
