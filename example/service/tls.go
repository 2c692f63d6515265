package service

import (
	"cmp"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"net/url"
	"os"
	"strings"
)

// Certificates reports whether the program gets certificates of clients: from TLS, or from
// a proxy.
func (s Settings) Certificates() bool { return s.TLSAddr != "" || len(s.CertificateProxies) > 0 }

// APIURL is the URL below which clients reach the API. ISSUER may have a path, which the
// API of ./example has not.
func (s Settings) APIURL(own string) string {
	if at, err := url.Parse(own); err == nil && at.Host != "" {
		own = at.Scheme + "://" + at.Host
	}
	return env("API_URL", own)
}

// checkTLS returns an error when the names of the settings do not fit together. It opens
// no file: ./example/clients reads the settings too, and need not be able to.
func (s Settings) checkTLS() error {
	certificate, key := os.Getenv("TLS_CERT"), os.Getenv("TLS_KEY")
	switch {
	case s.TLSAddr == "" && (certificate != "" || key != ""):
		return errors.New("TLS_CERT or TLS_KEY is set, and TLS_ADDR is not: set it to the address to listen on with TLS, such as 127.0.0.1:8443")
	case s.TLSAddr != "" && (certificate == "" || key == ""):
		return errors.New("TLS_ADDR is set: set TLS_CERT and TLS_KEY too, to the files of the server's certificate and its private key")
	case os.Getenv("TLS_CLIENT_CA") != "" && !s.Certificates():
		return errors.New("TLS_CLIENT_CA is set, and no certificate of a client can arrive: set TLS_ADDR, or TRUSTED_PROXY")
	}
	if _, _, err := net.SplitHostPort(s.TLSAddr); s.TLSAddr != "" && err != nil {
		return fmt.Errorf("TLS_ADDR=%q: write an address such as 127.0.0.1:8443", s.TLSAddr)
	}
	return nil
}

// readTLS reads the files of TLS_CERT, TLS_KEY and TLS_CLIENT_CA.
func readTLS(s *Settings) error {
	if path := os.Getenv("TLS_CLIENT_CA"); path != "" {
		text, err := os.ReadFile(path)
		if err != nil {
			return fmt.Errorf("TLS_CLIENT_CA: %w", err)
		}
		s.ClientCAs = x509.NewCertPool()
		if !s.ClientCAs.AppendCertsFromPEM(text) {
			return fmt.Errorf("TLS_CLIENT_CA: %s has no certificate in PEM form", path)
		}
	}
	if s.TLSAddr == "" {
		return nil
	}
	certificate, err := tls.LoadX509KeyPair(os.Getenv("TLS_CERT"), os.Getenv("TLS_KEY"))
	if err != nil {
		return fmt.Errorf("TLS_CERT, TLS_KEY: %w", err)
	}
	s.certificate = certificate
	return nil
}

// ListenTLS reads the files of the TLS settings, and listens on TLS_ADDR if it is set. It
// returns the listeners to serve on, of which plain is the first, and the settings with what
// it has read and opened. The TLS one asks for a
// certificate of the client and accepts any, or none: the issuer and the guards decide.
func (s Settings) ListenTLS(plain net.Listener) ([]net.Listener, Settings, error) {
	if err := readTLS(&s); err != nil || s.TLSAddr == "" {
		return []net.Listener{plain}, s, err
	}
	listener, err := net.Listen("tcp", s.TLSAddr)
	if err != nil {
		return nil, s, fmt.Errorf("TLS_ADDR: write an address that is free, such as 127.0.0.1:8443: %w", err)
	}
	s.TLSOrigin = s.originOf(listener.Addr().String())
	return []net.Listener{plain, tls.NewListener(listener, &tls.Config{
		Certificates: []tls.Certificate{s.certificate},
		ClientAuth:   tls.RequestClientCert,
		NextProtos:   []string{"h2", "http/1.1"},
		MinVersion:   tls.VersionTLS12,
	})}, s, nil
}

// originOf returns where clients reach the TLS listener: TLS_URL, or the host of TLS_ADDR
// with the port that was opened. If TLS_ADDR is all addresses, the host is ISSUER's.
func (s Settings) originOf(opened string) string {
	host, _, _ := net.SplitHostPort(s.TLSAddr) // checkTLS has seen the error
	if ip, err := netip.ParseAddr(host); host == "" || err == nil && ip.IsUnspecified() {
		host = "127.0.0.1"
		if at, err := url.Parse(s.Issuer); err == nil {
			host = cmp.Or(at.Hostname(), host)
		}
	}
	_, port, _ := net.SplitHostPort(opened) // of a TCP listener
	return env("TLS_URL", "https://"+strings.TrimSuffix(net.JoinHostPort(host, port), ":443"))
}

// SayTLS says where the TLS listener is, for the first lines of a program.
func (s Settings) SayTLS() string {
	if s.TLSOrigin == "" {
		return ""
	}
	return fmt.Sprintf("with TLS and client certificates: %s\n", s.TLSOrigin)
}
