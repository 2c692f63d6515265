//go:build unix

package service

import (
	"context"
	"log"
	"os"
	"os/signal"
	"syscall"

	"github.com/echo-m2m/m2m/jwks"
)

// KeysOnSignal handles two signals. SIGUSR1 is an emergency rotation: the key that
// signs is dropped at once, as if it had leaked. SIGUSR2 writes the keys of this
// process over those of another keyring, after the key store was exchanged by
// mistake. The func it returns ends that.
func KeysOnSignal(ctx context.Context, keys *jwks.Keyring) func() {
	signals := make(chan os.Signal, 1)
	signal.Notify(signals, syscall.SIGUSR1, syscall.SIGUSR2)
	go func() {
		for s := range signals {
			verb, what, done := keys.Rotate, "emergency rotation", "the signing key was dropped"
			if s == syscall.SIGUSR2 {
				verb, what, done = keys.Reclaim, "reclaim", "the keys of this process are stored again"
			}
			if err := verb(ctx); err != nil {
				log.Print(what, ": ", err)
				continue
			}
			log.Print(what, ": ", done)
		}
	}()
	return func() {
		signal.Stop(signals)
		close(signals)
	}
}
