package main

import (
	"fmt"
	"math"
	"slices"
	"strings"
)

// target is a promise of the project, and finding is its result in this run.
type target struct{ key, what, want string }

type finding struct {
	measured string
	met      bool
}

type findings map[string]finding

// targets are the lines of the last table, in order. "Noise" has one meaning
// here: the quartiles of the ratio lie around 1, or on its better side.
var targets = []target{
	{"again", "Repeated token, allocations", "≤ 3"},
	{"again lean", "Repeated token / lean cache", "≤ 1.20"},
	{"again peer", "Repeated token, " + echoJWT + " / m2m, ES256", "≥ 115"},
	{"again wire", "Repeated token over the wire, requests/s / no auth", "reported"},
	{"first RS256", "First sight / floor, RS256", "≤ 1.10"},
	{"first ES256", "First sight / floor, ES256", "≤ 1.05"},
	{"first EdDSA", "First sight / floor, EdDSA", "≤ 1.06"},
	{"first allocs", "First sight, allocations", "≤ 25"},
	{"first peers", "First sight, nearest peer / m2m", "> 1 for every peer"},
	{"junk", "Refusal of 8 kB of junk", "≤ 1 µs"},
	{"issue ES256", "Issuance / floor, ES256", "≤ 1.12"},
	{"issue EdDSA", "Issuance / floor, EdDSA", "≤ 1.22"},
	{"issue RS256", "Issuance / floor, RS256", "1 within noise"},
	{"issue peers", "Issuance, nearest peer / m2m", "> 1 for every peer (RS256: within noise)"},
	{"issue SQLite", "Issuance from SQLite / memory", "1 within noise, no query per token"},
	{"issue PostgreSQL", "Issuance from PostgreSQL / memory", "1 within noise, no query per token"},
	{"growth verdicts", "Hit, many cached verdicts / one", "≤ 2"},
	{"growth revocations", "`Revoked`, many revocations / none", "≤ 2"},
	{"growth clients", "`POST /token`, many clients / 10", "≤ 2"},
	{"bytes revocation", "Memory of a revocation", "≤ 120 B"},
	{"bytes verdict", "Memory of a cached verdict, token included", "≤ 800 B"},
	{"cores hit none", "Repeated token on two cores / one, no revocation", "≥ 1.7"},
	{"cores hit many", "Repeated token on two cores / one, many revocations", "≥ 1.7"},
	{"cores revoked none", "`Revoked` on two cores / one, one hot token, no revocation", "≥ 1.7"},
	{"cores revoked many", "`Revoked` on two cores / one, one hot token, many revocations", "≥ 1.7"},
	{"stalls", "Reader's p99.99 while cache, keys and key sets churn", "≤ 0.2 ms"},
	{"fetches", "Key fetches for 300 forged kids", "≤ 1"},
	{"attack", "Half the traffic forged: in one app / in two", "≤ 1 within noise"},
	{"attack memory", "Memory after many forgeries", "bounded"},
}

func (b *bench) found(key string, met bool, measured string, values ...any) {
	if b.findings == nil {
		b.findings = findings{}
	}
	b.findings[key] = finding{fmt.Sprintf(measured, values...), met}
}

// reach is the last table: each target, and whether this run met it.
func (b *bench) reach() {
	b.heading("Reach", "The project's own targets, and this run. Where a target speaks of noise, it is met when the quartiles of the ratio reach 1.")
	t := &table{head: []string{"", "target", "measured", "met"}}
	for _, target := range targets {
		f, ok := b.findings[target.key]
		switch {
		case !ok:
			t.add(target.what, target.want, "not measured", absent)
		case f.met:
			t.add(target.what, target.want, f.measured, "yes")
		default:
			t.add(target.what, target.want, f.measured, "**no**")
		}
	}
	t.write(b.out)
}

// validated reads the results of the validation table.
func (b *bench) validated(results map[string][]series) {
	var over, allocs, firstAllocs float64
	slowest, nearest := spread{}, spread{median: math.Inf(1)}
	nearestName := ""
	for _, alg := range algorithms {
		all := results[alg]
		again, first := named(all, m2mAgain), named(all, m2mFirst)
		if s := overRoute(all); s.median > over {
			over, slowest = s.median, s
		}
		allocs = max(allocs, spreadOf(again.allocs).median)
		firstAllocs = max(firstAllocs, spreadOf(first.allocs).median)
		limit := map[string]float64{"RS256": 1.10, "ES256": 1.05, "EdDSA": 1.06}[alg]
		s := ratioSpread(first.ns, named(all, floor).ns)
		b.found("first "+alg, s.median <= limit, "%v", s)
		for _, p := range peers {
			if s := ratioSpread(named(all, p.name).ns, first.ns); s.median < nearest.median {
				nearest, nearestName = s, p.name+", "+alg
			}
		}
	}
	b.found("again", allocs <= 3, "%.0f; %s ns over the bare route", allocs, slowest.text("%.0f"))
	beside := spreadOf(nil)
	for _, alg := range algorithms {
		if s := ratioSpread(named(results[alg], m2mAgain).ns, named(results[alg], cached).ns); !(s.median <= beside.median) {
			beside = s
		}
	}
	b.found("again lean", beside.median <= 1.20, "%v", beside)
	peer := ratioSpread(named(results["ES256"], echoJWT).ns, named(results["ES256"], m2mAgain).ns)
	b.found("again peer", peer.median >= 115, "%v", peer)
	b.found("first allocs", firstAllocs <= 25, "%.0f", firstAllocs)
	b.found("first peers", nearest.median > 1, "%v (%s)", nearest, nearestName)
	b.charts.validated(results)
}

// refused reads those of the refusals.
func (b *bench) refused(results map[string][]series) {
	worst := spread{}
	for _, kind := range junkKinds {
		if s := spreadOf(named(results[kind], m2m).ns); s.median > worst.median {
			worst = s
		}
	}
	b.found("junk", worst.median <= 1000, "%s ns", worst.text("%.0f"))
}

var issuePeers = []string{issueJWX, issueFosite, issueZitadel, issueGoOAuth}

// issued reads those of the issuance table.
func (b *bench) issued(results map[string][]series, reads map[string]asked) {
	nearest, nearestName, fastest := spread{median: math.Inf(1)}, "", true
	for _, alg := range algorithms {
		all := results[alg]
		mine := named(all, issueMemory)
		s := ratioSpread(mine.ns, named(all, issueFloor).ns)
		limit := map[string]float64{"ES256": 1.12, "EdDSA": 1.22}[alg]
		b.found("issue "+alg, s.median <= limit || (limit == 0 && s.reachesOne()), "%v", s)
		for _, name := range issuePeers {
			s := ratioSpread(named(all, name).ns, mine.ns)
			fastest = fastest && (s.median > 1 || (alg == "RS256" && s.high >= 1))
			if s.median < nearest.median {
				nearest, nearestName = s, name+", "+alg
			}
		}
	}
	b.found("issue peers", fastest, "%v (%s)", nearest, nearestName)
	for _, name := range []string{issueSQLite, issuePG} {
		var pairs []string
		met := reads[name].seldom()
		for _, alg := range algorithms {
			s := ratioSpread(named(results[alg], name).ns, named(results[alg], issueMemory).ns)
			met = met && s.reachesOne()
			pairs = append(pairs, alg+" "+s.String())
		}
		key := "issue " + strings.TrimPrefix(name, "**m2m**, ")
		if !slices.Contains(pairs, algorithms[0]+" "+absent) {
			b.found(key, met, "%s; reads %v", strings.Join(pairs, ", "), reads[name])
		}
	}
	b.charts.issued(results)
}
