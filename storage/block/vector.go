package block

// A VectorDevice reads and writes several buffers in one call. They may be memory
// that another process changes meanwhile, or takes away: then calls fail with
// EFAULT, and leave nothing undone behind them. System calls are so; code that
// copies bytes is not.
type VectorDevice interface {
	// ReadVector fills bufs, one after the other, from off on. With noWait it fails
	// with ErrWouldWait if that would take longer than a copy of memory, and with
	// ErrNotSupported if it cannot know.
	ReadVector(bufs [][]byte, off int64, noWait bool) (n int, err error)

	// WriteVector writes bufs, one after the other, from off on, durably with fua.
	WriteVector(bufs [][]byte, off int64, fua bool) (n int, err error)
}

// A Claimer can be given up to other processes, and claimed again. What it knew of
// its contents and its size it learns anew when it is claimed.
type Claimer interface {
	Claim() error // fails with ErrInUse while another process has it
	Unclaim() error
}

// Vectors says whether the device is a [VectorDevice] that takes any alignment.
func (d *Disk) Vectors() bool { return d.vector != nil && d.blockSize() == 1 }

// ReadVector reads as [VectorDevice] has it where Vectors is true. Elsewhere it
// fails with ErrNotSupported.
func (d *Disk) ReadVector(bufs [][]byte, off int64, noWait bool) (int, error) {
	length := vectorLen(bufs)
	if err := d.check(off, length); err != nil || length == 0 {
		return 0, err
	}
	if !d.Vectors() {
		return 0, ErrNotSupported
	}
	return d.vector.ReadVector(bufs, off, noWait)
}

// WriteVector writes as [VectorDevice] has it where Vectors is true. Elsewhere it
// fails with ErrNotSupported.
func (d *Disk) WriteVector(bufs [][]byte, off int64, fua bool) (int, error) {
	length := vectorLen(bufs)
	if err := d.checkWrite(off, length); err != nil || length == 0 {
		return 0, err
	}
	if !d.Vectors() {
		return 0, ErrNotSupported
	}
	return d.vector.WriteVector(bufs, off, fua)
}

func vectorLen(bufs [][]byte) (n int64) {
	for _, b := range bufs {
		n += int64(len(b))
	}
	return n
}

// Claim claims the device, if it can be claimed.
func (d *Disk) Claim() error {
	if c, ok := d.dev.(Claimer); ok {
		return c.Claim()
	}
	return nil
}

// Unclaim gives the device up to others, if that can be.
func (d *Disk) Unclaim() error {
	if c, ok := d.dev.(Claimer); ok {
		return c.Unclaim()
	}
	return nil
}
