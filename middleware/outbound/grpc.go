package outbound

import (
	"context"
	"errors"
	"fmt"
	"net/url"
	"slices"
)

// PerRPC gives gRPC the token of a Source for each call. It has the methods of gRPC's
// credentials.PerRPCCredentials, for grpc.WithPerRPCCredentials. The zero PerRPC gives no
// token.
//
// gRPC does not say that a token was refused, so no call is sent again. With Config.DPoP
// each call is an error, because gRPC has no place for proofs. With Config.Certificate, the
// connection must show that certificate: give it to gRPC's TLS credentials too.
type PerRPC struct{ source *Source }

// PerRPC returns the Source for gRPC.
func (s *Source) PerRPC() PerRPC { return PerRPC{s} }

// GetRequestMetadata returns the header with the token. A call to a host and port that is
// none of the origins gets an error: name it in Config.Origins, such as
// "https://orders.example.com:50051".
func (p PerRPC) GetRequestMetadata(ctx context.Context, uri ...string) (map[string]string, error) {
	if p.source.zero() {
		return nil, errZero
	}
	if p.source.family.prover != nil {
		return nil, errNoProof
	}
	if len(uri) == 0 {
		return nil, errors.New("outbound: no URI says where the token is to be sent")
	}
	for _, text := range uri {
		u, err := url.Parse(text)
		if err != nil {
			return nil, fmt.Errorf("outbound: %w", err)
		}
		if !p.source.want.origins.allowHost(u) {
			return nil, p.source.refuse(u)
		}
	}
	h, err := p.source.held(ctx)
	if err != nil {
		return nil, err
	}
	return map[string]string{"authorization": h.header}, nil
}

// RequireTransportSecurity reports whether gRPC must refuse connections without TLS. Only
// Config.InsecureHTTP turns that off, and only if every origin is http.
func (p PerRPC) RequireTransportSecurity() bool {
	if p.source.zero() || !p.source.family.config.InsecureHTTP {
		return true
	}
	return slices.ContainsFunc(p.source.want.origins, func(o origin) bool { return o.scheme != "http" })
}
