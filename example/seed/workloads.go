package seed

import (
	"strings"

	"time"

	"github.com/echo-m2m/m2m/issuer"
	"github.com/echo-m2m/m2m/issuer/registry"
	"github.com/echo-m2m/m2m/jwks/profile"
)

// WorkloadIssuers returns the issuers that the records of CLIENTS name in workload, each
// with a profile that fits. Those of clients that were made in another way are not among
// them: the operator of the program says whom it trusts, not the admin API.
func WorkloadIssuers() ([]issuer.WorkloadIssuer, error) {
	records, err := named("")
	if err != nil {
		return nil, err
	}
	var trusted []issuer.WorkloadIssuer
	at := map[string]int{}
	for _, r := range records {
		for _, w := range r.Client.Workloads {
			fitting := profileOf(w)
			n, known := at[w.Issuer]
			switch {
			case !known:
				at[w.Issuer] = len(trusted)
				trusted = append(trusted, issuer.WorkloadIssuer{Issuer: w.Issuer, Profile: fitting})
			case trusted[n].Profile.Name != fitting.Name:
				trusted[n].Profile = anyWorkload() // subjects of several kinds
			}
		}
	}
	return trusted, nil
}

// profileOf returns the profile of the platform that the issuer is, or that makes such
// subjects.
func profileOf(w registry.Workload) profile.Profile {
	const entra, sts, version2 = "https://login.microsoftonline.com/", "https://sts.windows.net/", "/v2.0"
	switch from := w.Issuer; {
	case from == profile.GitHubActions().Issuer:
		return profile.GitHubActions()
	case from == profile.GCP().Issuer:
		return profile.GCP()
	case strings.HasPrefix(from, sts):
		return profile.Azure(strings.Trim(strings.TrimPrefix(from, sts), "/"))
	case strings.HasPrefix(from, entra) && strings.HasSuffix(from, version2):
		tenant := strings.TrimSuffix(strings.TrimPrefix(from, entra), version2)
		p, azure := profile.EntraV2(tenant), profile.Azure(tenant)
		p.Refuse, p.MaxLifetime = azure.Refuse, azure.MaxLifetime // as the comment of Azure says
		return p
	case strings.HasSuffix(from, ".tokens.sts.global.api.aws"):
		return profile.AWS()
	case strings.HasPrefix(w.Subject, profile.Kubernetes().SubjectPrefix):
		return profile.Kubernetes()
	case strings.HasPrefix(w.Subject, profile.GitLabCI().SubjectPrefix):
		return profile.GitLabCI()
	}
	return anyWorkload()
}

// anyWorkload reads the tokens of any other issuer. The record has the exact subject and
// audience, and a token lives for a day at most.
func anyWorkload() profile.Profile {
	return profile.Profile{
		Name: "workload", Types: []string{"", "JWT"}, Client: "sub",
		TokenID: "jti", OptionalTokenID: true, OptionalIssuedAt: true, MaxLifetime: 24 * time.Hour,
	}
}
