//go:build !unix

package sqlite

import "io/fs"

// ofOwnGroup reports false: there are no groups to a file.
func ofOwnGroup(fs.FileInfo) bool { return false }
