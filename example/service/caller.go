package service

import (
	"errors"
	"fmt"
	"net/url"
	"os"
	"strings"
	"time"
)

// Caller is the settings of example/caller.
type Caller struct {
	Issuer     string        // ISSUER
	API        string        // API: the URL to call
	ClientID   string        // CLIENT_ID
	Secret     string        // CLIENT_SECRET, or
	SecretFile string        // CLIENT_SECRET_FILE
	Scopes     []string      // SCOPE
	Resource   string        // RESOURCE; "" if the issuer decides what tokens are for
	Every      time.Duration // EVERY
	For        time.Duration // FOR; 0 until Ctrl-C
}

// LoadCaller reads the settings of example/caller. The error names every variable that is
// wrong. issuer is the default of ISSUER.
func LoadCaller(issuer string) (Caller, error) {
	c := Caller{
		Issuer:     env("ISSUER", issuer),
		ClientID:   os.Getenv("CLIENT_ID"),
		Secret:     os.Getenv("CLIENT_SECRET"),
		SecretFile: os.Getenv("CLIENT_SECRET_FILE"),
		Scopes:     strings.Fields(os.Getenv("SCOPE")),
		Resource:   os.Getenv("RESOURCE"),
		Every:      time.Second,
	}
	c.API = env("API", strings.TrimSuffix(c.Issuer, "/")+"/v1/whoami")
	err := plainURL("ISSUER", c.Issuer, "https://auth.example.com")
	if err == nil || os.Getenv("API") != "" { // the default of API is made of ISSUER
		err = errors.Join(err, plainURL("API", c.API, "https://api.example.com/orders"))
	}
	err = errors.Join(
		err,
		c.checkCredentials(),
		c.checkResource(),
		duration("EVERY", &c.Every),
		duration("FOR", &c.For),
	)
	return c, err
}

func (c Caller) checkCredentials() (err error) {
	if c.ClientID == "" {
		err = errors.New("CLIENT_ID is not set: write the id of a client, as the issuer printed it")
	}
	switch {
	case c.Secret == "" && c.SecretFile == "":
		return errors.Join(err, errors.New("CLIENT_SECRET is not set: write the client's secret, or the path of its file in CLIENT_SECRET_FILE"))
	case c.Secret != "" && c.SecretFile != "":
		return errors.Join(err, errors.New("CLIENT_SECRET and CLIENT_SECRET_FILE are both set: leave one out"))
	case c.Secret != "":
		return err
	}
	if _, failed := os.Stat(c.SecretFile); failed != nil {
		err = errors.Join(err, fmt.Errorf("CLIENT_SECRET_FILE: %w", failed))
	}
	return err
}

func (c Caller) checkResource() error {
	if u, err := url.Parse(c.Resource); c.Resource != "" && (err != nil || !u.IsAbs() || strings.Contains(c.Resource, "#")) {
		return fmt.Errorf("RESOURCE=%q: write an absolute URI without a fragment (RFC 8707, section 2)", c.Resource)
	}
	return nil
}

// plainURL returns an error if value is no URL of http or https, or has a user.
func plainURL(name, value, example string) error {
	u, err := url.Parse(value)
	switch {
	case err == nil && u.User != nil, err != nil && strings.Contains(value, "@"): // the text is not quoted: it may hold a password
		return fmt.Errorf("%s has a user: write a URL without one", name)
	case err != nil || u.Scheme != "http" && u.Scheme != "https" || u.Hostname() == "":
		return fmt.Errorf("%s=%q: write a URL such as %s", name, value, example)
	}
	return nil
}
