//go:build unix

package imagestore

import (
	"os"
	"syscall"
)

// allocated is the room that a file takes.
func allocated(name string) (int64, bool) {
	info, err := os.Stat(name)
	if err != nil {
		return 0, false
	}
	return info.Sys().(*syscall.Stat_t).Blocks * 512, true
}
