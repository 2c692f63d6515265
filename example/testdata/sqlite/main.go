// Command sqlite runs a statement on an SQLite database, for the tests. It is not
// part of their binary, as that would take minutes to build.
package main

import (
	"database/sql"
	"errors"
	"log"
	"os"

	_ "modernc.org/sqlite" // the driver "sqlite"
)

func main() {
	if len(os.Args) != 3 {
		log.Fatal("sqlite FILE STATEMENT")
	}
	db, err := sql.Open("sqlite", os.Args[1])
	if err == nil {
		_, err = db.Exec(os.Args[2])
		err = errors.Join(err, db.Close())
	}
	if err != nil {
		log.Fatal(err)
	}
}
