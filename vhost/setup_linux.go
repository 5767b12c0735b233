package vhost

import (
	"fmt"

	"golang.org/x/sys/unix"

	"github.com/seed-012105e5/gonet/vhost/memory"
)

// A Setup is what a front end tells a back end: features, memory and rings. It tells
// the next one the same when that has ended, which then takes again what was in flight,
// once, and nothing that was returned (section "Inflight I/O tracking"): the driver
// need not know that anything has happened.
//
//	err := s.Negotiate(f)      // the first time: then the driver's rings are made
//	err = s.Start(f)
//	f.Wait()                   // the back end has gone
//	err = s.Negotiate(next)
//	err = s.Start(next)
//
// It makes no difference which side has connected.
type Setup struct {
	// Features, Protocol and Needed are those of [Frontend.Negotiate]. After it
	// Features are those that hold, from which no later back end may differ.
	Features, Protocol, Needed uint64

	Regions []memory.Region // of SetMemory, with
	Files   []int           // their files, which stay the caller's
	Rings   []RingConfig    // by their numbers

	negotiated bool
	area       InflightArea
	inflight   Files // one, of what is in flight, or none
}

// Negotiate agrees with a back end on features. It fails with ErrRefused when that is
// not what was agreed upon before.
func (s *Setup) Negotiate(f *Frontend) error {
	if err := f.Negotiate(s.Features, s.Protocol|ProtocolInflightShmFD, s.Needed); err != nil {
		return err
	}
	if s.negotiated && f.Features != s.Features {
		return fmt.Errorf("%w: the features are %#x, and were %#x", ErrRefused, f.Features, s.Features)
	}
	s.Features, s.negotiated = f.Features, true
	return nil
}

// Start has a back end run the rings. After the first one it fails with ErrRefused
// where back ends do not say what is in flight: the rings must be made anew.
func (s *Setup) Start(f *Frontend) error {
	if err := f.SetMemory(s.Regions, s.Files); err != nil {
		return err
	}
	again := len(s.inflight) > 0
	if f.Protocol&ProtocolInflightShmFD == 0 {
		if again {
			return fmt.Errorf("%w: the back end does not take again what was in flight", ErrRefused)
		}
	} else if err := s.share(f); err != nil {
		return err
	}
	for i, r := range s.Rings {
		if err := f.StartRing(i, r); err != nil {
			return err
		}
		if again { // either side may have missed the last word of the other
			signal(r.Kick)
			signal(r.Call)
		}
	}
	return nil
}

// share gives the back end the memory in which it notes what is in flight; the first one
// makes it.
func (s *Setup) share(f *Frontend) error {
	if len(s.inflight) == 0 {
		size := 0
		for _, r := range s.Rings {
			size = max(size, r.Size)
		}
		area, fd, err := f.Inflight(len(s.Rings), size)
		if err != nil {
			return err
		}
		s.area, s.inflight = area, Files{fd}
	}
	return f.SetInflight(s.area, s.inflight[0])
}

// Close gives back what Start has got. The back end may go on.
func (s *Setup) Close() error {
	var err error
	for _, fd := range s.inflight {
		err = unix.Close(fd)
	}
	s.inflight = nil
	return err
}
