//go:build !darwin && !dragonfly && !freebsd && !linux && !netbsd && !openbsd && !windows

package block

import "os"

// lockFile does nothing where there is nothing.
func lockFile(*os.File, bool) error { return nil }

func unlockFile(*os.File) error { return nil }

func syncDirectory(string) error { return nil }
