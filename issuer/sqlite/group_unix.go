//go:build unix

package sqlite

import (
	"io/fs"
	"os"
	"slices"
	"syscall"
)

// ofOwnGroup reports whether the file is of a group that the process is in.
func ofOwnGroup(info fs.FileInfo) bool {
	stat, ok := info.Sys().(*syscall.Stat_t)
	if !ok {
		return false
	}
	if int(stat.Gid) == os.Getegid() {
		return true
	}
	groups, err := os.Getgroups()
	return err == nil && slices.Contains(groups, int(stat.Gid))
}
