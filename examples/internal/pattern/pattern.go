// Package pattern makes bytes to transfer that show what has happened to them
// on the way.
package pattern

import (
	"io"
	"math/rand/v2"
)

// period is a prime: bytes that lie a multiple of any segment's size apart
// differ, so that no two segments can be mistaken for each other.
const period = 1048573

// A Pattern is an endless row of bytes, the same for all. Its methods may be
// called by any number of goroutines.
type Pattern []byte

// New returns the pattern.
func New() Pattern {
	p := make(Pattern, period)
	rand.NewChaCha8([32]byte{}).Read(p)
	return p
}

// Write writes the first n bytes of the pattern to w, without copying them.
func (p Pattern) Write(w io.Writer, n int64) error {
	for n > 0 {
		chunk := p[:min(n, int64(len(p)))]
		if _, err := w.Write(chunk); err != nil {
			return err
		}
		n -= int64(len(chunk))
	}
	return nil
}
