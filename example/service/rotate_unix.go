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

// RotateOnSignal makes SIGUSR1 an emergency rotation: the key that signs is
// dropped at once, as if it had leaked. The func it returns ends that.
func RotateOnSignal(ctx context.Context, keys *jwks.Keyring) func() {
	signals := make(chan os.Signal, 1)
	signal.Notify(signals, syscall.SIGUSR1)
	go func() {
		for range signals {
			if err := keys.Rotate(ctx); err != nil {
				log.Print("emergency rotation: ", err)
				continue
			}
			log.Print("emergency rotation: the signing key was dropped")
		}
	}()
	return func() {
		signal.Stop(signals)
		close(signals)
	}
}
