package tap

import (
	"encoding/binary"
	"slices"
	"testing"
	"testing/synctest"

	"golang.org/x/sys/unix"

	"github.com/seed-012105e5/gonet/internal/virtionet"
	"github.com/seed-012105e5/gonet/link"
	"github.com/seed-012105e5/gonet/packet"
)

// fanned starts a card with 3 queues and virtio-net headers.
func fanned() (files []*scriptedFile, l link.Link) {
	for range 3 {
		files = append(files, &scriptedFile{reads: make(chan any), closed: make(chan struct{})})
	}
	c := newCard(files, true, false, 1500)
	rx, tx := c.start()
	return files, link.Link{Rx: rx, Tx: tx, Stats: c.stats}
}

// numbered is a frame of a flow, and long if it shows that this carries much.
func numbered(flow byte, n int, long bool) *packet.Buffer {
	frameLen := 60
	if long {
		frameLen = longTrain
	}
	b := packet.Get(frameLen + packet.Headroom)
	p := b.Extend(frameLen)
	clear(p)
	copy(p, flowFrame(protocolTCP, flow, 80<<16|1025, 0))
	p[46] = 0x50
	binary.BigEndian.PutUint32(p[50:], uint32(n))
	p[54] = flow
	if long {
		b.SegmentSize = 1000
		b.SetPartial(34, 16)
	}
	return b
}

// order is the numbers of the frames that a file has got, by flow.
func (f *scriptedFile) order() map[byte][]int {
	numbers := make(map[byte][]int)
	for _, p := range f.written {
		flow := p[virtionet.Len+54]
		numbers[flow] = append(numbers[flow], int(binary.BigEndian.Uint32(p[virtionet.Len+50:])))
	}
	return numbers
}

// TestFan: flows leave the first queue with their first long train, and come back
// when no long train has passed for a while; always in order.
func TestFan(t *testing.T) {
	bubble(t, func(t *testing.T) {
		files, l := fanned()
		const flows, rounds = 4, 3 * link.QueueLen
		n := 0
		send := func(long bool) {
			for flow := range byte(flows) {
				l.Tx <- numbered(flow, n, long && flow > 0) // flow 0 carries little
			}
			n++
		}
		send(false)
		for range rounds {
			send(true)
			send(false)
		}
		synctest.Wait()
		if files[0].attached || !files[1].attached || !files[2].attached {
			t.Error("the other queues are not attached while flows carry much")
		}
		for range patience {
			send(false)
		}
		synctest.Wait()
		if files[1].attached || files[2].attached {
			t.Error("the other queues are attached while no flow carries much")
		}
		finish(l)

		var rest int
		for flow := range byte(flows) {
			var all []int
			for i, f := range files {
				numbers := f.order()[flow]
				if !slices.IsSorted(numbers) {
					t.Errorf("flow %d in queue %d: %v", flow, i, numbers)
				}
				if i > 0 {
					rest += len(numbers)
				}
				all = append(all, numbers...)
			}
			if slices.Sort(all); len(all) != n || all[n-1] != n-1 {
				t.Errorf("flow %d: %d frames, want %d", flow, len(all), n)
			}
		}
		if got := len(files[0].order()[0]); got != n {
			t.Errorf("%d of %d frames of a flow that carries little in the first queue", got, n)
		}
		if rest < (flows-1)*2*rounds {
			t.Errorf("%d frames in the other queues, want %d at least", rest, (flows-1)*2*rounds)
		}
		if a, b := len(files[1].order()), len(files[2].order()); a+b != flows-1 || a == 0 || b == 0 {
			t.Errorf("%d and %d flows in the other queues", a, b)
		}
	})
}

// TestFanReceives: a flow that brings long trains leaves the first queue too, and
// what comes by any queue arrives.
func TestFanReceives(t *testing.T) {
	bubble(t, func(t *testing.T) {
		files, l := fanned()
		for i, f := range files {
			train := numbered(5, 0, true)
			p := make([]byte, virtionet.Len+train.Len())
			virtionet.Header{Flags: virtionet.NeedsCsum, GSOType: virtionet.GSOTCPv4, HdrLen: 54, GSOSize: 1000, CsumStart: 34, CsumOffset: 16}.Put(p)
			copy(p[virtionet.Len:], turned(train.Bytes()))
			train.Release()
			f.reads <- p
			if b := <-l.Rx; b.Len() != longTrain {
				t.Errorf("queue %d: %d bytes", i, b.Len())
			} else {
				b.Release()
			}
		}
		l.Tx <- numbered(5, 0, false)
		synctest.Wait()
		if !files[1].attached || len(files[1].written) != 1 {
			t.Errorf("the acknowledgement of a flow that brings long trains is not in a queue of its own")
		}
		finish(l)
	})
}

// TestFanStuck: where the kernel does not attach queues, the first serves all.
func TestFanStuck(t *testing.T) {
	bubble(t, func(t *testing.T) {
		files, l := fanned()
		files[2].refuse = unix.EPERM
		for n := range 10 {
			l.Tx <- numbered(1, n, true)
		}
		finish(l)
		if got := files[0].order()[1]; len(got) != 10 || !slices.IsSorted(got) {
			t.Errorf("in the first queue: %v", got)
		}
	})
}
