// Package registry is what storage keeps for an issuer: clients and their
// secrets, the feed of changes that replicas follow, and replay records. It
// knows no web framework and no JOSE library, so a store links neither.
//
// [Store] is what an issuer asks of storage, in four methods. [Manager] adds the
// verbs of administration. [Memory] keeps everything in memory; packages sqlite
// and sqlstore keep it in a database; package storetest tests a store of your
// own.
//
// Most programs call [Ensure] at start for the clients they need, and leave the
// rest to the store.
package registry
