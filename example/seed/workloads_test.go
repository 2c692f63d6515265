package seed

import (
	"os"
	"path/filepath"
	"testing"
)

// TestWorkloadIssuers holds which profile reads the tokens of each issuer.
func TestWorkloadIssuers(t *testing.T) {
	path := filepath.Join(t.TempDir(), "clients.json")
	t.Setenv("CLIENTS", path)
	for name, tt := range map[string]struct {
		workloads string
		want      []string // profiles, in order
	}{
		"none":       {`[]`, nil},
		"GitHub":     {`[{"issuer": "https://token.actions.githubusercontent.com", "subject": "repo:a/b:environment:prod", "audience": "x"}]`, []string{"github-actions"}},
		"GitLab":     {`[{"issuer": "https://gitlab.com", "subject": "project_path:a/b:ref_type:branch:ref:main", "audience": "x"}]`, []string{"gitlab-ci"}},
		"Kubernetes": {`[{"issuer": "https://cluster.example.com", "subject": "system:serviceaccount:a:b", "audience": "x"}]`, []string{"kubernetes"}},
		"GCP":        {`[{"issuer": "https://accounts.google.com", "subject": "1", "audience": "x"}]`, []string{"gcp"}},
		"AWS":        {`[{"issuer": "https://a.tokens.sts.global.api.aws", "subject": "arn:aws:iam::1:role/a", "audience": "x"}]`, []string{"aws"}},
		"Azure":      {`[{"issuer": "https://sts.windows.net/8eaef023-2b34-4da1-9baa-8bc8c9d6a490/", "subject": "s", "audience": "x"}]`, []string{"azure"}},
		"Azure v2":   {`[{"issuer": "https://login.microsoftonline.com/8eaef023-2b34-4da1-9baa-8bc8c9d6a490/v2.0", "subject": "s", "audience": "x"}]`, []string{"entra-v2"}},
		"any":        {`[{"issuer": "http://127.0.0.1:9", "subject": "s", "audience": "x"}]`, []string{"workload"}},
		"two subjects of one": {`[{"issuer": "https://c.example.com", "subject": "system:serviceaccount:a:b", "audience": "x"},
			{"issuer": "https://c.example.com", "subject": "system:serviceaccount:a:c", "audience": "x"}]`, []string{"kubernetes"}},
		"two kinds of one": {`[{"issuer": "https://c.example.com", "subject": "system:serviceaccount:a:b", "audience": "x"},
			{"issuer": "https://c.example.com", "subject": "s", "audience": "x"}]`, []string{"workload"}},
	} {
		t.Run(name, func(t *testing.T) {
			if err := os.WriteFile(path, []byte(`[{"client_id": "a", "workload": `+tt.workloads+`, "audiences": ["x"]}]`), 0o600); err != nil {
				t.Fatal(err)
			}
			trusted, err := WorkloadIssuers()
			if err != nil || len(trusted) != len(tt.want) {
				t.Fatalf("%d issuers, %v", len(trusted), err)
			}
			for n, w := range trusted {
				if err := w.Profile.Validate(); err != nil || w.Profile.Name != tt.want[n] || w.Issuer == "" {
					t.Errorf("%s is read by %q, %v, want %q", w.Issuer, w.Profile.Name, err, tt.want[n])
				}
			}
		})
	}
	t.Setenv("CLIENTS", path+".none")
	if _, err := WorkloadIssuers(); err == nil {
		t.Error("a file that is not there is no error")
	}
}
