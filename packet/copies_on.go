//go:build copies

package packet

import "sync/atomic"

// With the build tag copies every byte of a packet that is copied in memory is
// counted, for measurements of how often that happens.

var copied atomic.Uint64

// CountsCopies says whether this build counts what is copied.
const CountsCopies = true

// CountCopy notes that n bytes of a packet, or for one, have been copied.
func CountCopy(n int) { copied.Add(uint64(n)) }

// Copied is how many bytes have been copied, in the whole process.
func Copied() uint64 { return copied.Load() }
