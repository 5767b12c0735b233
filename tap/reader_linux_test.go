package tap

import (
	"io"
	"slices"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/seed-012105e5/gonet/link"
	"github.com/seed-012105e5/gonet/packet"
)

// A listFile has the frames of a list, and then no more.
type listFile struct {
	endlessFile
	frames [][]byte
}

func (f *listFile) tryRead(p []byte) (int, error) {
	if len(f.frames) == 0 {
		return 0, unix.EAGAIN
	}
	n := copy(p, f.frames[0])
	f.frames = f.frames[1:]
	return n, nil
}

func (f *listFile) Read(p []byte) (int, error) {
	if len(f.frames) == 0 {
		return 0, io.EOF
	}
	return f.tryRead(p)
}

// segments are the frames of a stream: a segment for each number, of so many
// bytes.
func segments(sizes ...int) (frames [][]byte) {
	total := 0
	for _, n := range sizes {
		total += n
	}
	stream := completeTrain(total)
	f := stream.Bytes()
	f[20], f[21], f[46], f[47] = 0x40, 0, 0x50, 0x10 // DF, header of 20 bytes, ACK
	at := 0
	for i, n := range sizes {
		b := packet.Get(54 + n)
		b.Append(f[:54])
		b.Append(f[54+at:][:n])
		g := b.Bytes()
		g[16], g[17], g[19] = byte((40+n)>>8), byte(40+n), byte(i)
		g[40], g[41] = byte(at>>8), byte(at)
		b.SegmentSize = 1460 // so that Cut finishes its headers
		link.Cut(b, func(s *packet.Buffer) {
			frames = append(frames, slices.Clone(s.Bytes()))
			s.Release()
		})
		at += n
	}
	stream.Release()
	return frames
}

// TestReadTrains: what is there is joined as far as it fits, and what is not
// there is not waited for.
func TestReadTrains(t *testing.T) {
	runt, long := make([]byte, 13), make([]byte, 1519)
	stream := segments(1460, 1460, 1460, 100, 1460, 0, 1460, 1460)
	for _, c := range []struct {
		name    string
		frames  [][]byte
		want    []int // lengths
		dropped uint64
	}{
		{"nothing", nil, nil, 0},
		{"one", stream[:1], []int{1514}, 0},
		{"all that is there", stream[:3], []int{54 + 3*1460}, 0},
		{"to the short one", stream[:5], []int{54 + 3*1460 + 100, 1514}, 0},
		{"around an acknowledgement", stream[4:], []int{1514, 54, 54 + 2*1460}, 0},
		{"around a runt", [][]byte{stream[0], runt, stream[1], stream[2]}, []int{1514, 54 + 2*1460}, 1},
		{"before one too long", [][]byte{stream[0], stream[1], long}, []int{54 + 2*1460}, 1},
	} {
		t.Run(c.name, func(t *testing.T) {
			before := packet.Live()
			q := newCard([]*listFile{{frames: c.frames}}, false, false, 1500).queues[0]
			r := reader{queue: q, space: q.newSpace()}
			var got []int
			for {
				b, err := r.next()
				if err != nil {
					break
				}
				got = append(got, b.Len())
				b.Release()
			}
			r.release()
			if !slices.Equal(got, c.want) {
				t.Errorf("frames of %v bytes, want %v", got, c.want)
			}
			s := q.stats
			if n := s.DropMalformed.Load() + s.DropTooLong.Load(); n != c.dropped || int(s.Joined.Load()) != len(c.frames)-len(got)-int(n) {
				t.Errorf("%d dropped, %d joined", n, s.Joined.Load())
			}
			if n := packet.Live() - before; n != 0 {
				t.Errorf("%d buffers leaked", n)
			}
		})
	}
}

// TestReadTrainsEnd: a frame that waits behind another when the card is closed
// is counted.
func TestReadTrainsEnd(t *testing.T) {
	before := packet.Live()
	q := newCard([]*listFile{{frames: segments(1000, 0)}}, false, false, 1500).queues[0]
	r := reader{queue: q, space: q.newSpace()}
	b, err := r.next()
	if err != nil || b.Len() != 1054 {
		t.Fatal(b, err)
	}
	b.Release()
	r.release()
	if n, leaked := q.stats.DropClosed.Load(), packet.Live()-before; n != 1 || leaked != 0 {
		t.Errorf("%d dropped, %d leaked", n, leaked)
	}
}

// TestReadTrainsNoAllocation joins segments in the steady state.
func TestReadTrainsNoAllocation(t *testing.T) {
	if packet.Checked {
		t.Skip("the race detector empties pools")
	}
	stream := segments(1460, 1460, 1460, 1460, 1460, 1460, 1460, 1460)
	file := &listFile{}
	q := newCard([]*listFile{file}, false, false, 1500).queues[0]
	r := reader{queue: q, space: q.newSpace()}
	if n := testing.AllocsPerRun(1000, func() {
		file.frames = stream
		b, _ := r.next()
		b.Release()
	}); n != 0 || q.stats.Joined.Load() != 7*1001 {
		t.Errorf("%v allocations a train, %d joined", n, q.stats.Joined.Load())
	}
}
