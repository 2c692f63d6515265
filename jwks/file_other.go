//go:build !unix

package jwks

import "io/fs"

// ownGroup returns false: files have no group here.
func ownGroup(fs.FileInfo) bool { return false }
