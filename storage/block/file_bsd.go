//go:build darwin || dragonfly || freebsd || netbsd || openbsd

package block

import "os"

func lockFile(f *os.File, shared bool) error { return flock(f, shared) }
