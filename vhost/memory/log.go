package memory

import "fmt"

// LogPage is how many bytes of the guest's one bit of a [Log] stands for
// (vhost-user, section "Migration").
const LogPage = 0x1000

// A Log tells the front end which pages of the guest's memory were written, while
// it moves the guest to another machine: bit n stands for the page at n*LogPage.
// It may be used by any number of goroutines, also of other processes.
type Log struct {
	bits []byte // aligned, a multiple of 4 long
}

// NewLog returns a log in memory that is shared with the front end.
func NewLog(bits []byte) (*Log, error) {
	if !Aligned(bits, 4) {
		return nil, fmt.Errorf("%w: the log is not aligned", ErrRegion)
	}
	return &Log{bits[:len(bits)&^3]}, nil
}

// Covers says whether there is a bit for each byte below end.
func (l *Log) Covers(end uint64) bool {
	return end == 0 || (end-1)/LogPage < uint64(len(l.bits))*8
}

// Mark notes that the n bytes at an address were written. Those that the log has
// no bit for are left out.
func (l *Log) Mark(addr, n uint64) {
	if n == 0 || addr+n < addr {
		return
	}
	last := (addr + n - 1) / LogPage
	for page := addr / LogPage; page <= last && page/32*4 < uint64(len(l.bits)); page++ {
		Or32(l.bits, int(page/32*4), 1<<(page%32))
	}
}
