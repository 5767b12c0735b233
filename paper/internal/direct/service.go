package direct

import (
	"sync/atomic"

	"github.com/seed-012105e5/gonet/tcp/machine"
)

// The services of package service, as functions that are called. They count as
// those do.

// chunk is the size of reads and writes of bulk transfers, in bytes: as there.
const chunk = 256 << 10

// Sink reads what comes.
func Sink(bytes *atomic.Uint64) machine.Service {
	buf := make([]byte, chunk) // of all connections: nobody looks at it
	return func(s *machine.Stream) bool {
		for {
			n, err := s.Read(buf)
			bytes.Add(uint64(n))
			if err != nil {
				s.Close()
			}
			if n == 0 {
				return false
			}
		}
	}
}

// Discard is Sink without copying what comes.
func Discard(bytes *atomic.Uint64) machine.Service {
	return func(s *machine.Stream) bool {
		for {
			b, err := s.ReadBuffer()
			if err != nil {
				s.Close()
			}
			if b == nil {
				return false
			}
			bytes.Add(uint64(b.Len()))
			b.Release()
		}
	}
}

// Source sends without end: a chunk, and again when that has gone.
func Source(bytes *atomic.Uint64) machine.Service {
	buf := make([]byte, chunk)
	return func(s *machine.Stream) bool {
		n, err := s.Write(buf)
		bytes.Add(uint64(n))
		if err != nil {
			s.Close()
		}
		return n > 0
	}
}

// Echo sends back what comes, in small pieces, while there is room for them.
func Echo(requests *atomic.Uint64) machine.Service {
	buf := make([]byte, 16)
	return func(s *machine.Stream) bool {
		for s.Writable() {
			n, err := s.Read(buf)
			if n > 0 {
				_, err = s.Write(buf[:n])
				requests.Add(1)
			}
			if err != nil {
				s.Close()
			}
			if n == 0 || err != nil {
				return false
			}
		}
		return false // until the peer has read
	}
}
