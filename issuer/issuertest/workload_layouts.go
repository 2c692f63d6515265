package issuertest

import (
	"encoding/json"
	"fmt"
	"strings"
	"time"

	"github.com/echo-m2m/m2m/jwks/profile"
)

// tenant is the id of the tenant of [Azure].
const tenant = "8eaef023-2b34-4da1-9baa-8bc8c9d6a490"

// layout is how the tokens of one kind look.
type layout struct {
	kind            WorkloadKind
	profile         profile.Profile
	issuer, subject string
	alg, typ        string
	lifetime        time.Duration // the default of the platform
	claims          string        // as the document of the profile shows them; iss, sub, aud, the times and the id are replaced
}

// layoutOf returns the layout of a kind; nil if there is no such kind.
func layoutOf(kind WorkloadKind) *layout {
	for _, l := range layouts() {
		if l.kind == kind {
			return &l
		}
	}
	return nil
}

// layouts has the tokens of all kinds. The documentation of each profile names the public
// document that the claims are from. Values that would say who a person is are others.
func layouts() []layout {
	return []layout{{
		kind: Kubernetes, profile: profile.Kubernetes(), alg: "RS256", lifetime: time.Hour,
		issuer: "https://cluster.test", subject: "system:serviceaccount:my-namespace:my-serviceaccount",
		claims: `{"aud":[""],"exp":0,"iat":0,"iss":"","jti":"",
			"kubernetes.io":{"namespace":"my-namespace","node":{"name":"my-node","uid":"646e7c5e-32d6-4d42-9dbd-e504e6cbe6b1"},
			"pod":{"name":"my-pod","uid":"5e0bd49b-f040-43b0-99b7-22765a53f7f3"},"serviceaccount":{"name":"my-serviceaccount","uid":"14ee3fa4-a7e2-420f-9f9a-dbc4507c3798"}},
			"nbf":0,"sub":""}`,
	}, {
		kind: GitHubActions, profile: profile.GitHubActions(), alg: "RS256", typ: "JWT", lifetime: 5 * time.Minute,
		issuer: "https://token.actions.githubusercontent.com", subject: "repo:octo-org/octo-repo:environment:prod",
		claims: `{"jti":"","sub":"","environment":"prod","aud":"","ref":"refs/heads/main","sha":"example-sha","repository":"octo-org/octo-repo","repository_owner":"octo-org",
			"actor_id":"12","repository_visibility":"private","repository_id":"74","repository_owner_id":"65","run_id":"example-run-id","run_number":"10","run_attempt":"2",
			"runner_environment":"github-hosted","actor":"octocat","workflow":"example-workflow","head_ref":"","base_ref":"","event_name":"workflow_dispatch","ref_type":"branch",
			"job_workflow_ref":"octo-org/octo-automation/.github/workflows/oidc.yml@refs/heads/main","iss":"","nbf":0,"exp":0,"iat":0}`,
	}, {
		kind: GitLabCI, profile: profile.GitLabCI(), alg: "RS256", typ: "JWT", lifetime: 5 * time.Minute,
		issuer: "https://gitlab.test", subject: "project_path:my-group/my-project:ref_type:branch:ref:feature-branch-1",
		claims: `{"namespace_id":"72","namespace_path":"my-group","project_id":"20","project_path":"my-group/my-project","user_id":"1","user_login":"sample-user","user_access_level":"developer",
			"pipeline_id":"574","pipeline_source":"push","job_id":"302","ref":"feature-branch-1","ref_type":"branch","ref_path":"refs/heads/feature-branch-1","ref_protected":"false",
			"groups_direct":["mygroup/mysubgroup"],"runner_id":1,"runner_environment":"self-hosted","sha":"714a629c0b401fdce83e847fc9589983fc6f46bc","project_visibility":"public",
			"jti":"","iss":"","iat":0,"nbf":0,"exp":0,"sub":"","aud":""}`,
	}, {
		kind: AWS, profile: profile.AWS(), alg: "ES384", lifetime: 5 * time.Minute,
		issuer: "https://abc123-def456-ghi789-jkl012.tokens.sts.global.api.aws", subject: "arn:aws:iam::123456789012:role/DataProcessingRole",
		claims: `{"iss":"","aud":"","sub":"","iat":0,"exp":0,"jti":"","https://sts.amazonaws.com/":{"aws_account":"123456789012","source_region":"us-east-1","org_id":"o-abc1234567",
			"principal_tags":{"team":"data-engineering"},"lambda_source_function_arn":"arn:aws:lambda:us-east-1:123456789012:function:process-data","request_tags":{"job-id":"job-2024-001"}}}`,
	}, {
		kind: GCP, profile: profile.GCP(), alg: "RS256", typ: "JWT", lifetime: time.Hour,
		issuer: "https://accounts.google.com", subject: "110987294251917851298",
		claims: `{"iss":"","iat":0,"exp":0,"aud":"","sub":"","azp":"110987294251917851298","email":"716149158341-compute@developer.gserviceaccount.com","email_verified":true,
			"google":{"compute_engine":{"instance_creation_timestamp":1595155766,"instance_id":"4340508760561261530","instance_name":"vm","project_id":"my-project","project_number":716149158341,"zone":"us-central1-a"}}}`,
	}, {
		kind: Azure, profile: profile.Azure(tenant), alg: "RS256", typ: "JWT", lifetime: 24 * time.Hour,
		issuer: "https://sts.windows.net/" + tenant + "/", subject: "72243241-f194-45f3-987d-eeb347b83b69",
		claims: `{"aud":"","iss":"","iat":0,"nbf":0,"exp":0,"aio":"42BgYIio","appid":"942343b1-4af2-490c-b6d9-9250b8f2808c","appidacr":"2","idp":"https://sts.windows.net/` + tenant + `/",
			"oid":"72243241-f194-45f3-987d-eeb347b83b69","sub":"","tid":"` + tenant + `","uti":"","ver":"1.0",
			"xms_mirid":"/subscriptions/00000000-0000-0000-0000-000000000000/resourcegroups/rg/providers/Microsoft.Compute/virtualMachines/vm"}`,
	}, {
		kind: SPIFFEDraft, profile: profile.SPIFFEDraft("prod.test"), alg: "ES256", typ: "JWT", lifetime: 5 * time.Minute,
		issuer: "https://oidc.prod.test", subject: "spiffe://prod.test/ns/billing/sa/reporter",
		claims: `{"iss":"","sub":"","aud":[""],"exp":0,"iat":0}`,
	}}
}

// orderedMembers reads a JSON object with its members in order.
func orderedMembers(doc string) (found members, err error) {
	d := json.NewDecoder(strings.NewReader(doc))
	if _, err := d.Token(); err != nil {
		return nil, fmt.Errorf("a layout: %w", err)
	}
	for d.More() {
		name, err := d.Token()
		var value json.RawMessage
		if err == nil {
			err = d.Decode(&value)
		}
		if err != nil {
			return nil, fmt.Errorf("a layout: %w", err)
		}
		found.add(fmt.Sprint(name), string(value))
	}
	return found, nil
}
