package tool

import (
	"flag"
	"fmt"
	"io"
	"slices"
	"strings"
)

// The groups of the overview, in its order.
const (
	groupClients = "Clients"
	groupSecrets = "Secrets"
	groupMany    = "Many clients"
	groupDevelop = "Development"

	// GroupStorage is the group of the verbs that look after the storage itself.
	GroupStorage = "Storage"
)

var groups = []string{groupClients, groupSecrets, groupMany, groupDevelop, GroupStorage}

func verbs() []Verb {
	return []Verb{
		listVerb, showVerb, addVerb, setVerb, disableVerb, enableVerb, revokeVerb, deleteVerb,
		rotateVerb, removeSecretVerb, staleVerb,
		planVerb, applyVerb, importVerb, exportVerb,
		tokenVerb,
	}
}

const overview = `
clients help VERB tells more, with an example. Flags may come before or after the
other arguments. -json answers in JSON. Behind -- an id may begin with a dash.

Where the clients are:
  DATABASE_URL (with ISSUER_NAME)   PostgreSQL
  DATA_DIR                          else SQLite in this directory, by default ./data
  ADMIN_URL, or -api URL            instead, through the admin API at this URL, with
                                    CLIENT_ID and CLIENT_SECRET, or ACCESS_TOKEN

A database must be there and up to date: clients migrate makes it. Every change says
where it was made. A storage that does not answer within 10 s is an error. Exit
status: 0 done, 1 failed, 2 plan or stale-secrets found something.

Running issuers follow every change within 2 s: until then they may refuse a new
secret and take an old one. One that cannot read the storage refuses all tokens
after a minute. A token granted in those 2 s is refused too: a client that runs on
then asks for another. When a secret was last used is written up to a minute late.

Secrets are no arguments, which every user of a machine can see: they are read from
the environment, a file or the standard input.
`

// writeHelp writes the overview, or the help of one verb.
func writeHelp(out io.Writer, all []Verb, about []string) error {
	if len(about) > 0 && !isHelp(about[0]) {
		n := slices.IndexFunc(all, func(v Verb) bool { return v.Name == about[0] })
		if n < 0 {
			return fmt.Errorf("there is no verb %q; see: clients help", about[0])
		}
		_, err := io.WriteString(out, all[n].help())
		return err
	}
	var text strings.Builder
	text.WriteString("clients manages the clients of an issuer.\n")
	for _, group := range groups {
		text.WriteString("\n" + group + "\n")
		for _, v := range all {
			if v.Group == group {
				text.WriteString("  " + strings.TrimSpace("clients "+v.Name+" "+v.Args) + "\n        " + v.Summary + "\n")
			}
		}
	}
	text.WriteString(overview)
	_, err := io.WriteString(out, text.String())
	return err
}

// help is the help of the verb.
func (v Verb) help() string {
	var text strings.Builder
	fmt.Fprintf(&text, "clients %s: %s\n\n  %s\n", v.Name, v.Summary, strings.TrimSpace("clients "+v.Name+" "+v.Args))
	if v.Text != "" {
		text.WriteString("\n" + strings.TrimSpace(v.Text) + "\n")
	}
	flags, _, _ := v.flags(&Session{})
	first := true
	flags.VisitAll(func(f *flag.Flag) {
		if first {
			text.WriteString("\nFlags\n")
			first = false
		}
		value, usage := flag.UnquoteUsage(f)
		if f.DefValue != "" && f.DefValue != "0" && f.DefValue != "0s" && f.DefValue != "false" {
			usage += " (" + f.DefValue + " if left out)"
		}
		fmt.Fprintf(&text, "  %s\n        %s\n", strings.TrimSpace("-"+f.Name+" "+value), usage)
	})
	text.WriteString("\nExample\n")
	for line := range strings.Lines(v.Example) {
		text.WriteString("  " + strings.TrimRight(line, "\n") + "\n")
	}
	return text.String()
}
