package profile_test

import (
	"testing"

	"github.com/echo-m2m/m2m/jwks/jose"
)

// BenchmarkVerify is a token read with each profile, beside the floor: the signature and
// the strict reading of the JSON, which each reader of a token needs.
func BenchmarkVerify(b *testing.B) {
	for _, s := range shapes() {
		alg := s.quick()
		jws, key, want := token(s.typ, alg, s.claims()), signers()[alg].Key(), s.want
		want.Now = now
		b.Run(s.name+"/floor", func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				if _, err := jose.ParseObject(sure(jws.Verify(key))); err != nil {
					b.Fatal(err)
				}
			}
		})
		b.Run(s.name+"/profile", func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				if _, err := s.profile.Verify(jws, key, want); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

// Reading RFC 9068 allocates what it returns: the Identity, its audience and its scopes,
// and nothing else beyond the floor.
func TestAllocations(t *testing.T) {
	s := shapes()[0]
	jws, key, want := token(s.typ, "EdDSA", s.claims()), signers()["EdDSA"].Key(), s.want
	want.Now = now
	floor := testing.AllocsPerRun(100, func() {
		if _, err := jose.ParseObject(sure(jws.Verify(key))); err != nil {
			t.Fatal(err)
		}
	})
	got := testing.AllocsPerRun(100, func() {
		if _, err := s.profile.Verify(jws, key, want); err != nil {
			t.Fatal(err)
		}
	})
	if got > floor+3 {
		t.Errorf("%v allocations, the floor is %v", got, floor)
	}
}
