package service

import (
	"fmt"
	"strings"
)

// Kept says where a program keeps its data, and how to stop it.
func (s Settings) Kept() string {
	place := fmt.Sprintf("The data is in %s: clients in issuer.db, and the signing keys in keys.json, which are secret.", s.DataDir)
	if s.DatabaseURL != "" {
		place = "The data is in the database of DATABASE_URL."
	}
	return place + " Stop with Ctrl-C.\n"
}

// Ignored is the hint to keep the data out of a repository, for a first start.
func (s Settings) Ignored() string {
	if s.DatabaseURL != "" {
		return ""
	}
	return fmt.Sprintf("In a repository of yours, add %s/ to .gitignore.\n", strings.TrimSuffix(s.DataDir, "/"))
}

// NewSecret says how to get a secret of the demo clients, when it was shown before.
const NewSecret = `The client "demo" was made earlier, and its secret cannot be shown again. For a new one, with the same settings:
  go run ./example/clients rotate-secret demo
  go run ./example/clients rotate-secret demo-admin    # for the admin API
`

// OtherClients says how to get a secret where there are clients, and none is demo.
const OtherClients = `There are clients, so no demo client was made. Their secrets cannot be shown again. With the same settings:
  go run ./example/clients list
  go run ./example/clients rotate-secret ID    # a new secret, shown once
`
