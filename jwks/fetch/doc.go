// Package fetch gets small JSON documents from authorization servers: key sets and
// metadata. The servers may be broken, slow or hostile, and the addresses may come
// from them, so everything is bounded.
//
// [NewClient] makes the client. [Client.Get] is one GET. [Client.Metadata] finds
// and reads the metadata of an issuer (RFC 8414).
//
// # Bounds
//
//   - URLs are https, or http on the loopback, unless insecure http is allowed.
//     They hold no credentials.
//   - Addresses are checked when they are dialled, after the name is resolved, so a
//     name that resolves differently the second time gains nothing. Link-local,
//     site-local, multicast, unspecified and known cloud metadata addresses are
//     refused, and so are IPv6 addresses that hold one of them (NAT64, 6to4, Teredo,
//     ISATAP and others). Private ranges and the loopback are allowed, because issuers
//     live there.
//   - A host that ends in a number is four decimal numbers. Other spellings of an IPv4
//     address are refused.
//   - A redirect must stay on the same scheme, host and port. Three are followed.
//   - A document has at most 1 MiB, decompressed, unless [Request] says otherwise,
//     and a response header 64 KiB.
//   - The caller's context bounds the time. An address of metadata that does not
//     answer leaves time for the next one.
//
// Through a proxy or a transport of the caller's own, only literal addresses in
// URLs are checked. What resolves the names must refuse the rest. Of cloud metadata,
// only the addresses that clouds have published are known here: a network that has
// others must refuse them itself.
package fetch
