package telemetry

// Metrics of a Status have one label: the Name of their Sources.
var gaugeLabels = []string{"name"}

func state(name, unit, help string) definition {
	return definition{name, gauge, unit, help, gaugeLabels}
}

// sum is a counter that a Status keeps.
func sum(name, unit, help string) definition {
	return definition{name, counter, unit, help, gaugeLabels}
}

// Gauges of issuer.Status.
var (
	issuerFollowing     = state("m2m.issuer.following", "", "1 while the store's feed is read within MaxRevocationLag; 0: tokens are neither granted nor accepted, or nothing asked yet.")
	issuerFeedLag       = state("m2m.issuer.feed.lag", "s", "How long ago the last poll that reached the feed's end began.")
	issuerFeedSequence  = state("m2m.issuer.feed.sequence", "", "Number of the last change that was read.")
	issuerFeedFailing   = state("m2m.issuer.feed.failing", "", "1 while polls of the feed fail.")
	issuerClockOffset   = state("m2m.issuer.clock.offset", "s", "How far this clock is ahead of the store's.")
	issuerClockOff      = state("m2m.issuer.clock.off", "", "1 while that is too much, and nothing is granted.")
	issuerRestoring     = state("m2m.issuer.restoring", "{revocation}", "Revocations still to be written again to a feed that was set back.")
	issuerRecordFailing = state("m2m.issuer.record.failing", "", "1 while the last use of secrets cannot be recorded.")
	issuerCachedClients = state("m2m.issuer.cached.clients", "{client}", "Clients whose record is cached.")
	issuerRevocations   = state("m2m.issuer.revocations", "{revocation}", "Revoked tokens and cut-offs in force.")
	issuerLookups       = state("m2m.issuer.lookups", "{request}", "Requests that wait for a client's record.")
	issuerSlowHashes    = state("m2m.issuer.slow.hashes", "{request}", "Requests that wait for the hash of a chosen secret.")
)

// Gauges of jwks.KeyringStatus.
var (
	keyringSigning        = state("m2m.keyring.signing", "", "1 while a key may sign.")
	keyringRetained       = state("m2m.keyring.retained.keys", "{key}", "Keys that have signed and still verify.")
	keyringGeneration     = state("m2m.keyring.generation", "", "Writes of the key store, by any replica.")
	keyringProblems       = state("m2m.keyring.problems", "{problem}", "Problems of the keyring; events name them.")
	keyringWriteFailing   = state("m2m.keyring.write.failing", "", "1 while the key store cannot be written.")
	keyringNextSigns      = state("m2m.keyring.next.signs.timestamp", "s", "When the next key takes over.")
	keyringRotationStops  = state("m2m.keyring.rotation.stops.timestamp", "s", "When keys stop to rotate if nothing can be written until then.")
	keyringRead           = state("m2m.keyring.read.timestamp", "s", "When the key store was last read.")
	keyringPublishedUntil = state("m2m.keyring.published.until.timestamp", "s", "The time until which keys are published if the key store cannot be read.")
	keyringSignsUntil     = state("m2m.keyring.signs.until.timestamp", "s", "The time until which tokens are signed if the key store cannot be read.")
)

// Counters and gauges of bearer.Status.
var (
	bearerCacheHits          = sum("m2m.bearer.cache.hits", "{request}", "Requests whose token was in the cache of verified tokens.")
	bearerCacheMisses        = sum("m2m.bearer.cache.misses", "{request}", "Signature checks, also of tokens that were then refused.")
	bearerKeysFailing        = state("m2m.bearer.keys.failing", "", "1 when the latest token that needed a key did not get one.")
	bearerRevocationsFailing = state("m2m.bearer.revocations.failing", "", "1 when the latest question whether a token is revoked got no answer.")
	bearerCachedTokens       = state("m2m.bearer.cached.tokens", "{token}", "Verified tokens in the cache.")
	bearerCachedAnswers      = state("m2m.bearer.cached.answers", "{answer}", "Answers of introspection in the cache.")
	bearerAsking             = state("m2m.bearer.asking", "{token}", "Tokens that the issuer is being asked about.")
)

// Gauges of jwks.RemoteStatus.
var (
	remoteFresh      = state("m2m.remote.fresh", "", "1 while a key set is held, within its lifetime.")
	remoteFailing    = state("m2m.remote.failing", "", "1 when the latest fetch failed.")
	remoteKeys       = state("m2m.remote.keys", "{key}", "Keys in the set.")
	remoteSkipped    = state("m2m.remote.skipped", "{key}", "Entries of the set that cannot be used.")
	remoteWaiting    = state("m2m.remote.waiting", "{request}", "Requests with an unknown key that wait for a fetch.")
	remoteFetched    = state("m2m.remote.fetched.timestamp", "s", "When the set was fetched or confirmed.")
	remoteExpires    = state("m2m.remote.expires.timestamp", "s", "End of the set's lifetime.")
	remoteStaleUntil = state("m2m.remote.stale.until.timestamp", "s", "End of the set's use if no fetch succeeds.")
)

// Gauges of sqlstore.Status.
var (
	storeReadOnly     = state("m2m.store.read.only", "", "1 while the database takes no writes.")
	storeWriteFailing = state("m2m.store.write.failing", "", "1 when the last write failed.")
	storeFileMissing  = state("m2m.store.file.missing", "", "1 when the SQLite file was deleted or exchanged.")
	storeClockOffset  = state("m2m.store.clock.offset", "s", "How far this clock is ahead of the database's; on SQLite how far it has jumped.")
	storeFeedAhead    = state("m2m.store.feed.ahead", "s", "How far the last number in the feed is ahead of the clock.")
	storeSchema       = state("m2m.store.schema", "", "Version of the tables.")
	storeRelease      = state("m2m.store.release", "", "Version of the tables that this release knows.")
	storeRead         = state("m2m.store.read.timestamp", "s", "The last read that worked.")
	storeError        = state("m2m.store.error.timestamp", "s", "When the database last failed.")
)

// ofStatus returns the metrics that Collect reads.
func ofStatus() []*definition {
	return []*definition{
		&issuerFollowing, &issuerFeedLag, &issuerFeedSequence, &issuerFeedFailing, &issuerClockOffset, &issuerClockOff,
		&issuerRestoring, &issuerRecordFailing, &issuerCachedClients, &issuerRevocations, &issuerLookups, &issuerSlowHashes,
		&keyringSigning, &keyringRetained, &keyringGeneration, &keyringProblems, &keyringWriteFailing,
		&keyringNextSigns, &keyringRotationStops, &keyringRead, &keyringPublishedUntil, &keyringSignsUntil,
		&bearerCacheHits, &bearerCacheMisses, &bearerKeysFailing, &bearerRevocationsFailing, &bearerCachedTokens, &bearerCachedAnswers, &bearerAsking,
		&remoteFresh, &remoteFailing, &remoteKeys, &remoteSkipped, &remoteWaiting, &remoteFetched, &remoteExpires, &remoteStaleUntil,
		&storeReadOnly, &storeWriteFailing, &storeFileMissing, &storeClockOffset, &storeFeedAhead,
		&storeSchema, &storeRelease, &storeRead, &storeError,
	}
}
