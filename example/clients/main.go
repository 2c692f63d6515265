// Command clients manages the clients of an issuer: in its storage, which is found as
// ./example finds it, or through its admin API.
//
//	go run ./example/clients help
//
// The verbs are in package tool. Here is what opens a database.
package main

import (
	"context"
	"os"
	"os/signal"
	"time"

	"github.com/echo-m2m/m2m/example/clients/tool"
)

const migrateTimeout = 10 * time.Minute

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	status := program().Run(ctx, os.Args[1:])
	stop()
	os.Exit(status)
}

func program() tool.Program {
	return tool.Program{
		Open: func(ctx context.Context) (tool.Storage, error) {
			store, place, err := open(ctx, tool.Timeout)
			if err != nil {
				return tool.Storage{}, err
			}
			return tool.Storage{Clients: store, Place: place, Close: store.Close}, nil
		},
		Verbs: []tool.Verb{migrateVerb, resealVerb, adoptVerb},
	}
}
