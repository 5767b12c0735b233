package tap

import (
	"bytes"
	"errors"
	"os"
	"testing"
	"testing/synctest"

	"golang.org/x/sys/unix"

	"github.com/seed-012105e5/gonet/internal/virtionet"
	"github.com/seed-012105e5/gonet/link"
	"github.com/seed-012105e5/gonet/packet"
)

// A scriptedFile is a tap whose reads are sent by the test.
type scriptedFile struct {
	reads   chan any // []byte or error
	closed  chan struct{}
	written [][]byte
	fail    error // of the next write

	attached bool
	refuse   error // of attach
}

func (f *scriptedFile) Read(p []byte) (int, error) {
	select {
	case r := <-f.reads:
		if err, ok := r.(error); ok {
			return 0, err
		}
		return copy(p, r.([]byte)), nil
	case <-f.closed:
		return 0, os.ErrClosed
	}
}

func (f *scriptedFile) tryRead(p []byte) (int, error) {
	select {
	case r := <-f.reads:
		if err, ok := r.(error); ok {
			return 0, err
		}
		return copy(p, r.([]byte)), nil
	default:
		return 0, unix.EAGAIN
	}
}

func (f *scriptedFile) writeFrame(p []byte) error {
	if f.fail == nil {
		f.written = append(f.written, bytes.Clone(p))
	}
	return f.fail
}

func (f *scriptedFile) attach(on bool) error {
	f.attached = on
	return f.refuse
}

func (f *scriptedFile) Close() error { close(f.closed); return nil }

// scripted starts a card with an MTU of 1500 on a scriptedFile.
func scripted(vnet bool) (*scriptedFile, link.Link, *int) {
	f := &scriptedFile{reads: make(chan any), closed: make(chan struct{})}
	undone := new(int)
	c := newCard([]*scriptedFile{f}, vnet, false, 1500)
	c.undo = func() { *undone++ }
	rx, tx := c.start()
	return f, link.Link{Rx: rx, Tx: tx, Stats: c.stats}, undone
}

// bubble runs fn in a synctest bubble, and looks for buffers that it leaks.
func bubble(t *testing.T, fn func(t *testing.T)) {
	before := packet.Live()
	synctest.Test(t, fn)
	if leaked := packet.Live() - before; leaked != 0 {
		t.Errorf("%d buffers leaked", leaked)
	}
}

func finish(l link.Link) {
	close(l.Tx)
	for b := range l.Rx {
		b.Release()
	}
}

// tcpFrame is an Ethernet frame of n bytes whose TCP header, at 34, has no
// options.
func tcpFrame(n int) *packet.Buffer {
	b := packet.Get(n)
	f := b.Extend(n)
	clear(f)
	if n > 46 {
		f[46] = 5 << 4
	}
	return b
}

func read(h virtionet.Header, frameLen int) []byte {
	p := make([]byte, virtionet.Len+frameLen)
	h.Put(p)
	for i := range frameLen {
		p[virtionet.Len+i] = byte(i)
	}
	return p
}

func TestReadVNet(t *testing.T) {
	bubble(t, func(t *testing.T) {
		f, l, _ := scripted(true)
		f.reads <- read(virtionet.Header{}, 60)
		b := <-l.Rx
		if b.Len() != 60 || b.Bytes()[59] != 59 || b.Size() > 512 || b.Arrived.IsZero() {
			t.Errorf("small frame: %d bytes in %d, %v", b.Len(), b.Size(), b.Arrived)
		}
		b.Release()

		f.reads <- read(virtionet.Header{Flags: 1, GSOType: virtionet.GSOTCPv4, HdrLen: 54, GSOSize: 1460, CsumStart: 34, CsumOffset: 16}, 60000)
		b = <-l.Rx
		start, offset := b.Partial()
		if b.Len() != 60000 || b.SegmentSize != 1460 || b.Checksum != packet.ChecksumPartial || start != 34 || offset != 16 {
			t.Errorf("train: %d bytes, segments of %d, checksum %v at %d+%d", b.Len(), b.SegmentSize, b.Checksum, start, offset)
		}
		b.Release()

		f.reads <- read(virtionet.Header{Flags: 1, CsumStart: 34, CsumOffset: 6}, 1400)
		b = <-l.Rx
		if start, offset := b.Partial(); b.Len() != 1400 || b.Size() > 2048 || start != 34 || offset != 6 {
			t.Errorf("copied: %d bytes in %d, checksum at %d+%d", b.Len(), b.Size(), start, offset)
		}
		b.Release()

		f.reads <- read(virtionet.Header{GSOType: 9}, 60)    // malformed
		f.reads <- read(virtionet.Header{}, ethernetLen-1)   // runt
		f.reads <- []byte{}                                  // not even a header
		f.reads <- &os.PathError{Err: unix.EINVAL}           // what the kernel cannot describe
		f.reads <- read(virtionet.Header{}, 1519)            // too long
		f.reads <- read(virtionet.Header{GSOType: 9}, 20000) // malformed, and large
		f.reads <- read(virtionet.Header{}, 1518)
		b = <-l.Rx
		b.Release()
		if m, n := l.Stats.DropMalformed.Load(), l.Stats.DropTooLong.Load(); m != 5 || n != 1 {
			t.Errorf("%d malformed, %d too long; want 5, 1", m, n)
		}
		if n, bytes := l.Stats.RxFrames.Load(), l.Stats.RxBytes.Load(); n != 4 || bytes != 60+60000+1400+1518 {
			t.Errorf("%d frames, %d bytes", n, bytes)
		}
		finish(l)
	})
}

func TestReadPlain(t *testing.T) {
	bubble(t, func(t *testing.T) {
		f, l, _ := scripted(false)
		for _, n := range []int{60, 1514} {
			f.reads <- bytes.Repeat([]byte{7}, n)
			b := <-l.Rx
			if b.Len() != n || b.SegmentSize != 0 || b.Checksum != packet.ChecksumComplete || b.Bytes()[n-1] != 7 {
				t.Errorf("%d bytes, want %d", b.Len(), n)
			}
			b.Release()
		}
		f.reads <- make([]byte, 4000) // the kernel cuts what does not fit
		f.reads <- make([]byte, 13)
		synctest.Wait()
		if m, n := l.Stats.DropMalformed.Load(), l.Stats.DropTooLong.Load(); m != 1 || n != 1 {
			t.Errorf("%d malformed, %d too long; want 1, 1", m, n)
		}
		finish(l)
	})
}

// TestBackPressure fills Rx: the reader reads no more, so that frames wait in
// the kernel. Closing Tx ends it all the same.
func TestBackPressure(t *testing.T) {
	bubble(t, func(t *testing.T) {
		f, l, undone := scripted(true)
		for range link.QueueLen + 1 {
			f.reads <- read(virtionet.Header{}, 60)
		}
		synctest.Wait()
		select {
		case f.reads <- read(virtionet.Header{}, 60):
			t.Error("the reader reads on while nobody takes its frames")
		default:
		}
		close(l.Tx)
		synctest.Wait()
		if n := l.Stats.DropClosed.Load(); n != 1 || *undone != 1 {
			t.Errorf("%d dropped at close, undone %d times; want 1, 1", n, *undone)
		}
		n := 0
		for b := range l.Rx {
			b.Release()
			n++
		}
		if n != link.QueueLen {
			t.Errorf("%d frames, want %d", n, link.QueueLen)
		}
	})
}

// TestGone shows that a device which is gone closes Rx, and that Tx is drained
// until it is closed.
func TestGone(t *testing.T) {
	bubble(t, func(t *testing.T) {
		f, l, undone := scripted(true)
		f.reads <- &os.PathError{Err: unix.EBADFD}
		if _, ok := <-l.Rx; ok {
			t.Error("a frame from a device which is gone")
		}
		f.fail = unix.EBADFD
		l.Tx <- tcpFrame(60)
		synctest.Wait()
		f.fail = nil // not asked any more
		l.Tx <- tcpFrame(60)
		synctest.Wait()
		if n := l.Stats.DropClosed.Load(); n != 2 || len(f.written) != 0 || *undone != 0 {
			t.Errorf("%d dropped, %d written, undone %d times; want 2, 0, 0", n, len(f.written), *undone)
		}
		close(l.Tx)
		synctest.Wait()
		if *undone != 1 {
			t.Errorf("undone %d times", *undone)
		}
	})
}

func TestWriteErrors(t *testing.T) {
	bubble(t, func(t *testing.T) {
		f, l, _ := scripted(true)
		for err, counter := range map[error]func() uint64{
			unix.EAGAIN:         l.Stats.DropTxFull.Load,
			unix.ENOBUFS:        l.Stats.DropTxFull.Load,
			unix.EIO:            l.Stats.DropTxError.Load,
			unix.EINVAL:         l.Stats.DropTxError.Load,
			errors.New("other"): l.Stats.DropTxError.Load,
		} {
			before := counter()
			f.fail = err
			l.Tx <- tcpFrame(60)
			synctest.Wait()
			if counter() != before+1 {
				t.Errorf("%v is not counted", err)
			}
		}
		f.fail = nil
		l.Tx <- tcpFrame(1519)
		bad := tcpFrame(60)
		bad.SetPartial(34, 30)
		l.Tx <- bad
		l.Tx <- tcpFrame(1518)
		synctest.Wait()
		s := l.Stats
		if s.DropTooLong.Load() != 1 || s.DropMalformed.Load() != 1 || s.TxFrames.Load() != 1 || s.TxBytes.Load() != 1518 {
			t.Errorf("%d too long, %d malformed, %d sent, %d bytes", s.DropTooLong.Load(), s.DropMalformed.Load(), s.TxFrames.Load(), s.TxBytes.Load())
		}
		finish(l)
	})
}

// TestWriteTrain sends a train to a device that cuts it, and to one that
// does not.
func TestWriteTrain(t *testing.T) {
	for _, vnet := range []bool{true, false} {
		bubble(t, func(t *testing.T) {
			f, l, _ := scripted(vnet)
			l.Tx <- train(3000)
			l.Tx <- completeTrain(3000)
			single := tcpFrame(60)
			single.SetPartial(34, 16)
			l.Tx <- single
			synctest.Wait()
			lens := []int{}
			for _, p := range f.written {
				lens = append(lens, len(p))
			}
			want := []int{1514, 1514, 54 + 80, 1514, 1514, 54 + 80, 60}
			if vnet {
				want = []int{10 + 3054, 10 + 1514, 10 + 1514, 10 + 54 + 80, 10 + 60}
				if h := virtionet.Parse(f.written[0]); h != (virtionet.Header{Flags: 1, GSOType: virtionet.GSOTCPv4, HdrLen: 54, GSOSize: 1460, CsumStart: 34, CsumOffset: 16}) {
					t.Errorf("train: %+v", h)
				}
				if h := virtionet.Parse(f.written[1]); h != (virtionet.Header{}) {
					t.Errorf("cut: %+v", h)
				}
			} else if sum := f.written[6][50:52]; sum[0] == 0 && sum[1] == 0 {
				t.Error("a partial checksum went out")
			}
			if len(lens) != len(want) {
				t.Fatalf("vnet %v: wrote %v, want %v", vnet, lens, want)
			}
			for i := range lens {
				if lens[i] != want[i] {
					t.Errorf("vnet %v: wrote %v, want %v", vnet, lens, want)
				}
			}
			finish(l)
		})
	}
}

// train is a train with n bytes of payload and a partial checksum.
func train(n int) *packet.Buffer {
	b := completeTrain(n)
	b.SetPartial(34, 16)
	return b
}

func completeTrain(n int) *packet.Buffer {
	b := tcpFrame(54 + n)
	f := b.Bytes()
	f[12], f[13] = 8, 0
	f[14], f[16], f[17], f[23] = 0x45, byte((40+n)>>8), byte(40+n), 6
	b.SegmentSize = 1460
	return b
}

// TestNoAllocation sends and receives in the steady state.
func TestNoAllocation(t *testing.T) {
	if packet.Checked {
		t.Skip("the race detector empties pools")
	}
	f := &endlessFile{frame: read(virtionet.Header{Flags: 1, GSOType: virtionet.GSOTCPv4, HdrLen: 54, GSOSize: 1460, CsumStart: 34, CsumOffset: 16}, 20000)}
	q := newCard([]*endlessFile{f}, true, false, 1500).queues[0]
	r := reader{queue: q, space: q.newSpace()}
	forward := func() {
		b, _ := r.next()
		q.send(b)
	}
	big := testing.AllocsPerRun(1000, forward)
	f.frame = read(virtionet.Header{}, 60)
	small := testing.AllocsPerRun(1000, forward)
	if big != 0 || small != 0 {
		t.Errorf("%v allocations a train, %v a small frame", big, small)
	}
}

type endlessFile struct{ frame []byte }

func (f *endlessFile) Read(p []byte) (int, error)  { return copy(p, f.frame), nil }
func (f *endlessFile) tryRead([]byte) (int, error) { return 0, unix.EAGAIN }
func (f *endlessFile) writeFrame([]byte) error     { return nil }
func (f *endlessFile) Close() error                { return nil }
func (f *endlessFile) attach(bool) error           { return nil }
