// Package registry is what storage keeps for an issuer: clients, their secrets,
// the feed of changes that replicas follow, and replay records. It knows no web
// framework and no JOSE library, so a store links neither.
//
// [Store] is what an issuer asks of storage, in four methods. [Manager] adds what
// administration needs. [Memory] is a store in memory; packages sqlite and
// sqlstore keep the same in a database, and package storetest tests a store of
// your own.
package registry
