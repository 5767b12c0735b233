package drive

import (
	"context"

	"github.com/seed-012105e5/gonet/storage/block"
)

// A Backend is a way by which machines see what is in a drive: an export, a logical unit,
// a USB device. A Drive calls Insert and Eject in turn, one call at a time, from one
// goroutine after another; Close comes last.
//
// See the example for one of one's own.
type Backend interface {
	// Insert shows a medium to machines. There is none when it is called. The medium's
	// disk remains the drive's to close, after Eject has succeeded or Ejected was called.
	//
	// ErrOffline says that the way is not there at present, ErrPermission that what
	// stands behind it may not open the medium.
	Insert(ctx context.Context, m Medium) error

	// Eject takes the medium away from machines: no new use of it begins, what is under
	// way ends, and when it returns nil nothing uses the disk any more. Without a medium
	// it does nothing. If a machine does not let it go, as by PREVENT ALLOW MEDIUM
	// REMOVAL, it fails with ErrLocked and all stays as it was, unless force is set:
	// then it is taken away whatever machines do. When the context ends, uses that are
	// under way are cut off.
	Eject(ctx context.Context, force bool) error

	// Close takes away what Eject leaves, such as an empty drive. There is no medium when
	// it is called.
	Close() error
}

// A Medium is what is in a drive.
type Medium struct {
	Name string      // of the image, or the URL of a remote one
	Disk *block.Disk // its contents; it refuses writes if ReadOnly
	// Path is the name of a file of this machine with the same contents, for backends
	// that have somebody else open it, such as the kernel. It is empty where there is
	// none: the medium is remote or has an overlay.
	Path     string
	CDROM    bool // a CD-ROM or DVD of 2048-byte blocks, else a disk
	ReadOnly bool

	// Ejected is called by the backend, from any goroutine, once, if a machine has ejected
	// the medium, as by START STOP UNIT, and nothing uses the disk any more. It does not
	// wait. Eject may be called at the same time; it then has nothing to do.
	Ejected func()
}

// A Prober is a Backend that somebody else may change or take away, such as a gadget of the
// kernel's. A Drive asks it at times, not while it calls Insert or Eject.
type Prober interface {
	// Probe fails with ErrOffline, or for another reason, if no medium could be inserted
	// now.
	Probe(ctx context.Context) error
}

// A Resumer is a Backend whose medium outlives the program, as that of a gadget of the
// kernel's does when the program is killed. New calls Resume before all else.
type Resumer interface {
	// Resume is told whether the drive was connected, and says whether it is to be
	// connected again: not if a machine has ejected the medium meanwhile. If it was not
	// connected, no machine sees a medium when it returns.
	Resume(ctx context.Context, connected bool) bool
}
