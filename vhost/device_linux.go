package vhost

import (
	"errors"
)

// A Device is what a front end sees behind its rings. Its methods are called by
// one goroutine, but for Serve, which runs once for each ring.
type Device interface {
	// Features are those of the device's type, which the driver may choose from;
	// those of rings are offered besides.
	Features() uint64

	// Queues is how many rings there are, at most 256.
	Queues() int

	// Config is the configuration space, as it is now; nil if there is none.
	Config() []byte

	// SetConfig has the driver write a part of that, which lies within it.
	SetConfig(offset int, p []byte) error

	// Serve serves a ring, which it owns, until q.Wait returns false, and then
	// puts back all chains that it has taken. It touches guest memory only in the
	// goroutine that it runs in, or in [memory.Table.Guard].
	Serve(q *Queue)
}

// A Resetter is a Device with a state of its own.
type Resetter interface {
	Reset() // all rings are stopped
}

// A Keeper is a Device with a setting that the driver makes once (SET_CONFIG), and that the
// process which comes after this one, when it has been killed, must know: no front end
// tells it again. It is kept beside what is in flight, where the front end keeps that
// (section "Inflight I/O tracking").
type Keeper interface {
	Setting() uint32
	Restore(setting uint32)
}

// A StopObserver is a Device that holds something while a front end uses it, such as
// a lock that others want.
type StopObserver interface {
	// RingsStopped tells that the front end has stopped the last ring that ran or
	// could have run (GET_VRING_BASE), has reset the device, or has gone. Stops for
	// a change of what rings use, behind which they go on, are not told.
	RingsStopped()
}

// An MTUSetter is a Device that the front end tells the MTU (NET_SET_MTU).
type MTUSetter interface {
	SetMTU(mtu int) error
}

// An Announcer is a Device that says on its network where the guest is now
// (SEND_RARP).
type Announcer interface {
	Announce(mac [6]byte)
}

// ErrUnsupported: a request is one of those that this package has a codec for and
// nothing more.
var ErrUnsupported = errors.New("vhost: not supported")

// ErrRefused: a request does not fit what was negotiated or set up before it.
var ErrRefused = errors.New("vhost: refused")
