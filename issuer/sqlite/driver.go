//go:build !nosqlite

package sqlite

import _ "modernc.org/sqlite" // the driver "sqlite"
