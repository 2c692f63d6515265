package telemetry

import (
	"errors"
	"fmt"
	"time"

	"github.com/echo-m2m/m2m/issuer"
	"github.com/echo-m2m/m2m/issuer/sqlstore"
	"github.com/echo-m2m/m2m/jwks"
	bearer "github.com/echo-m2m/m2m/middleware"
)

// Sources are the parts whose Status becomes gauges. Those that are nil are left
// out.
type Sources struct {
	// Name tells several issuers or APIs of one process apart: it is the label
	// "name" of the gauges. Empty is a name too.
	Name string

	Issuer *issuer.Issuer  // its keyring is read through it
	Bearer *bearer.Bearer  // the guard of an API
	Remote *jwks.Remote    // where an API's keys come from, if not from the issuer's keyring
	Store  *sqlstore.Store // of an issuer
}

// Collect has the Status of the sources read whenever metrics are collected. Call it
// once they are made, at most once for each name. Gauges end with the Telemetry, so
// it is for parts that live as long as the process.
func (t *Telemetry) Collect(s Sources) error {
	if !t.made() {
		return errors.New("telemetry: New makes a Telemetry")
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	for _, other := range t.sources {
		if other.Name == s.Name {
			return fmt.Errorf("telemetry: Collect was called for the name %q before: give each Sources a Name of its own", s.Name)
		}
	}
	t.sources = append(t.sources, s)
	return nil
}

// sample takes one value of a Status.
type sample func(m *definition, name string, value float64)

// read passes on what every Status says.
func (t *Telemetry) read(to sample) {
	t.mu.Lock()
	sources := t.sources
	t.mu.Unlock()
	for _, s := range sources {
		set := func(m *definition, value float64) { to(m, s.Name, value) }
		if s.Issuer != nil {
			status := s.Issuer.Status()
			readIssuer(status, set)
			readKeyring(status.Keys, set)
		}
		if s.Bearer != nil {
			readBearer(s.Bearer.Status(), set)
		}
		if s.Remote != nil {
			readRemote(s.Remote.Status(), set)
		}
		if s.Store != nil {
			readStore(s.Store.Status(), set)
		}
	}
}

func flag(is bool) float64 {
	if is {
		return 1
	}
	return 0
}

// setTime leaves out a time that does not apply.
func setTime(set func(*definition, float64), m *definition, at time.Time) {
	if !at.IsZero() {
		set(m, float64(at.UnixMilli())/1e3)
	}
}

func readIssuer(s issuer.Status, set func(*definition, float64)) {
	set(&issuerFollowing, flag(s.Following))
	set(&issuerFeedLag, s.Lag.Seconds())
	set(&issuerFeedSequence, float64(s.Sequence))
	set(&issuerFeedFailing, flag(s.FollowError != nil))
	set(&issuerClockOffset, s.ClockOffset.Seconds())
	set(&issuerClockOff, flag(s.ClockError != nil))
	set(&issuerRestoring, float64(s.Restoring))
	set(&issuerRecordFailing, flag(s.RecordError != nil))
	set(&issuerCachedClients, float64(s.CachedClients))
	set(&issuerRevocations, float64(s.Revocations))
	set(&issuerLookups, float64(s.Lookups))
	set(&issuerSlowHashes, float64(s.SlowHashes))
}

func readKeyring(s jwks.KeyringStatus, set func(*definition, float64)) {
	set(&keyringSigning, flag(s.SigningKey != ""))
	set(&keyringRetained, float64(len(s.RetainedKeys)))
	set(&keyringGeneration, float64(s.Generation))
	set(&keyringProblems, float64(len(s.Problems)))
	set(&keyringWriteFailing, flag(s.WriteError != nil))
	setTime(set, &keyringNextSigns, s.NextSigns)
	setTime(set, &keyringRotationStops, s.RotationStops)
	setTime(set, &keyringRead, s.ReadAt)
	setTime(set, &keyringPublishedUntil, s.PublishedUntil)
	setTime(set, &keyringSignsUntil, s.SignsUntil)
}

func readBearer(s bearer.Status, set func(*definition, float64)) {
	set(&bearerKeysFailing, flag(s.Keys != nil))
	set(&bearerRevocationsFailing, flag(s.Revocations != nil))
	set(&bearerCacheHits, float64(s.Hits))
	set(&bearerCacheMisses, float64(s.Misses))
	set(&bearerCachedTokens, float64(s.Cached))
	set(&bearerCachedAnswers, float64(s.Answers))
	set(&bearerAsking, float64(s.Asking))
}

func readRemote(s jwks.RemoteStatus, set func(*definition, float64)) {
	set(&remoteFresh, flag(s.Fresh))
	set(&remoteFailing, flag(s.LastError != nil))
	set(&remoteKeys, float64(s.Keys))
	set(&remoteSkipped, float64(len(s.Skipped)))
	set(&remoteWaiting, float64(s.Waiting))
	setTime(set, &remoteFetched, s.FetchedAt)
	setTime(set, &remoteExpires, s.ExpiresAt)
	setTime(set, &remoteStaleUntil, s.StaleUntil)
}

func readStore(s sqlstore.Status, set func(*definition, float64)) {
	set(&storeReadOnly, flag(s.ReadOnly))
	set(&storeWriteFailing, flag(s.WriteError != nil))
	set(&storeFileMissing, flag(s.FileError != nil))
	set(&storeClockOffset, s.ClockOffset.Seconds())
	set(&storeFeedAhead, s.Ahead.Seconds())
	set(&storeSchema, float64(s.Schema))
	set(&storeRelease, float64(s.Release))
	setTime(set, &storeRead, s.LastRead)
	setTime(set, &storeError, s.LastErrorAt)
}
