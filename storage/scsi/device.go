package scsi

import (
	"context"
	"errors"
	"syscall"

	"github.com/seed-012105e5/gonet/storage/block"
	"github.com/seed-012105e5/gonet/storage/internal/rangelock"
)

// enter waits until no other command disturbs this one on its blocks, alone or shared
// with all that are not alone. What it returns must leave.
func (t *Task) enter(alone bool) (*rangelock.Range, bool) {
	r, err := t.unit.ranges.Enter(t.ctx, t.lo, t.hi, alone)
	if err != nil {
		t.failDevice(readFailed, t.lo, err)
		return nil, false
	}
	return r, true
}

func (t *Task) leave(r *rangelock.Range) { t.unit.ranges.Leave(r) }

// sync makes durable what was written before, or makes the command fail.
func (t *Task) sync() bool {
	if err := t.medium.disk.SyncContext(t.ctx); err != nil {
		t.failDevice(syncFailed, t.lo, err)
		return false
	}
	return true
}

// A deviceWork is what a device has failed to do.
type deviceWork uint8

const (
	readFailed deviceWork = iota
	writeFailed
	syncFailed // no block of it is known to have failed
)

// failDevice makes the command fail as the device did, at a byte of the medium.
func (t *Task) failDevice(work deviceWork, at int64, err error) {
	var of *block.MediumError
	if errors.As(err, &of) && of.Off >= t.lo && of.Off < t.hi {
		at = of.Off
	}
	s := senseOf(work, err)
	if s.Key == MediumError && work != syncFailed || s.Code == CodeLBAOutOfRange {
		s.HasInformation, s.Information = true, uint64(at)>>t.unit.shift
	}
	t.fail(s)
}

// senseOf says what an error of the device is in SCSI.
func senseOf(work deviceWork, err error) Sense {
	switch {
	case errors.Is(err, block.ErrRange): // the device has shrunk
		return Sense{Key: IllegalRequest, Code: CodeLBAOutOfRange}
	case errors.Is(err, syscall.ENOSPC):
		return Sense{Key: DataProtect, Code: CodeSpaceExhausted} // SBC-3 4.7.3.6
	case errors.Is(err, syscall.EPERM), errors.Is(err, syscall.EROFS):
		return Sense{Key: DataProtect, Code: CodeWriteProtected}
	case errors.Is(err, syscall.ESHUTDOWN):
		return Sense{Key: HardwareError, Code: CodeInternalFailure}
	case isContext(err):
		return Sense{Key: AbortedCommand}
	case work == readFailed:
		return Sense{Key: MediumError, Code: CodeReadError}
	}
	return Sense{Key: MediumError, Code: CodeWriteError}
}

// isContext says whether the work was given up because nobody waits for it any more.
func isContext(err error) bool {
	return errors.Is(err, context.Canceled) || errors.Is(err, context.DeadlineExceeded)
}
