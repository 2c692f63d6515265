// Package storetest tests a store of your own, as it tests those of this module.
//
// # Which names first
//
// [Run] is the only one. Call it from a test of your package, with a func that opens a
// new store:
//
//	func TestStore(t *testing.T) {
//		storetest.Run(t, func(t *testing.T, clients ...registry.Client) registry.Store {
//			… // a new store with these clients, closed by t.Cleanup
//		})
//	}
//
// It takes some seconds. Run it with -race.
//
// # What is tested
//
// The contract in the documentation of [registry.Store] and of each optional interface
// that the store implements: who is found, what the feed holds and in which order, one
// winner of 50 racers, no lost update, no answer after a context is done. Every method
// must refuse invalid arguments with registry.ErrInvalid. Times must come back
// rounded by less than a millisecond, those of changes upwards. The store's clock must
// be within a minute of the test's.
//
// # What is not
//
// A suite inside one process cannot tell that acknowledged changes survive a crash, that
// other processes see them, or that a clock which jumps destroys nothing. Test these
// yourself; package sqlstore's tests show how.
package storetest
