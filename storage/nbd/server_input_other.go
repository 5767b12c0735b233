//go:build !linux

package nbd

import "io"

// vectored is nil: there is no such call that is worth it.
func vectored(io.Reader) vectorReader { return nil }
