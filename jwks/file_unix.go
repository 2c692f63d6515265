//go:build unix

package jwks

import (
	"io/fs"
	"os"
	"slices"
	"syscall"
)

// ownGroup reports whether this process is in the file's group.
func ownGroup(info fs.FileInfo) bool {
	stat, ok := info.Sys().(*syscall.Stat_t)
	if !ok {
		return false
	}
	groups, err := os.Getgroups()
	group := int(stat.Gid)
	return group == os.Getegid() || err == nil && slices.Contains(groups, group)
}
