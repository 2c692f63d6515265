//go:build !unix

package jwks

import "io/fs"

// ownGroup is false where files have no group.
func ownGroup(fs.FileInfo) bool { return false }
