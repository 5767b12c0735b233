package vnet

import (
	"bytes"
	"encoding/binary"
	"math/rand/v2"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/seed-012105e5/gonet/link"
	"github.com/seed-012105e5/gonet/vhost"
	"github.com/seed-012105e5/gonet/vhost/memory"
	"github.com/seed-012105e5/gonet/vhost/virtqueue"
)

// A small is a driver whose buffers for what it receives are small.
type small struct {
	t     *testing.T
	table *memory.Table
	ring  *virtqueue.Driver
	kick  *vhost.Event
	call  *vhost.Event
	sent  *virtqueue.Driver
}

const smallRoom = 16

const userBase = 0x10000000

func newSmall(t *testing.T, path string, features uint64) *small {
	t.Helper()
	s := &small{t: t}
	must := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	front, err := vhost.Dial(path)
	must(err)
	t.Cleanup(func() { front.Close() })
	must(front.Negotiate(features|virtqueue.FeatureVersion1, vhost.ProtocolReplyAck, features))
	fd, err := memory.Create("small", shared)
	must(err)
	defer unix.Close(fd)
	region := memory.Region{Guest: guestBase, Size: shared, User: userBase}
	m, err := memory.Map(region, fd)
	must(err)
	defer m.Release()
	s.table, err = memory.NewTable(m)
	must(err)
	t.Cleanup(s.table.Release)
	must(front.SetMemory([]memory.Region{region}, []int{fd}))
	s.kick, err = vhost.NewEvent()
	must(err)
	t.Cleanup(func() { s.kick.Close() })
	s.call, err = vhost.NewEvent()
	must(err)
	t.Cleanup(func() { s.call.Close() })
	for i := range 2 {
		at := uint64(userBase + i*ringRoom)
		c := virtqueue.Config{Size: ringSize, Features: front.Features, Descriptors: at, Driver: at + 0x1000, Device: at + 0x2000}
		ring, err := virtqueue.NewDriver(s.table, c)
		must(err)
		if i == 0 {
			s.ring = ring
			for n := range ringSize {
				s.offer(n)
			}
		} else {
			s.sent = ring
		}
		ring.Publish()
		s.kick.Signal()
		must(front.StartRing(i, vhost.RingConfig{Config: c, Kick: s.kick.FD(), Call: s.call.FD()}))
	}
	return s
}

func (s *small) offer(n int) {
	if _, err := s.ring.Add([]virtqueue.Span{{Addr: guestBase + receiveAt + uint64(n*smallRoom), Len: smallRoom}}, 0); err != nil {
		s.t.Fatal(err)
	}
}

// next waits for a buffer, and returns what is in it.
func (s *small) next() []byte {
	s.t.Helper()
	for {
		id, n, ok, err := s.ring.Take()
		if err != nil {
			s.t.Fatal(err)
		}
		if ok {
			b, _ := s.table.Slice(guestBase+receiveAt+uint64(id)*smallRoom, smallRoom)
			b = bytes.Clone(b[:n])
			s.offer(int(id))
			if s.ring.Publish() {
				s.kick.Signal()
			}
			return b
		}
		if !s.ring.Arm() {
			s.call.SetDeadline(time.Now().Add(20 * time.Second))
			if err := s.call.Wait(); err != nil {
				s.t.Fatal(err)
			}
		}
	}
}

// frame waits for a frame, and returns how many buffers it was in.
func (s *small) frame() (text []byte, buffers int) {
	s.t.Helper()
	text = s.next()
	buffers = int(binary.LittleEndian.Uint16(text[10:]))
	for range buffers - 1 {
		text = append(text, s.next()...)
	}
	return text[headerLen:], buffers
}

// TestManyBuffers: a frame crosses in as many buffers as it needs, and one that
// needs too many is dropped, and costs no other one anything.
func TestManyBuffers(t *testing.T) {
	path := t.TempDir() + "/s"
	card, err := Listen(path, Config{Report: func(ring int, err error) { t.Errorf("ring %d: %v", ring, err) }})
	if err != nil {
		t.Fatal(err)
	}
	defer end(card)
	s := newSmall(t, path, featureMrgRxbuf|featureGuestCsum|featureGuestTSO4)
	r := rand.New(rand.NewPCG(1, 6))
	for card.Stats.TxFrames.Load() == 0 { // there is no carrier until the card has its ring
		dropped := card.Stats.DropTxError.Load()
		card.Tx <- frame(r, 60, 0)
		waitFor(t, "it has gone", func() bool { return card.Stats.TxFrames.Load() > 0 || card.Stats.DropTxError.Load() > dropped })
	}
	s.frame()
	for _, n := range []int{60, 1000, 100, 1514} {
		b := frame(r, n, 0)
		want := bytes.Clone(b.Bytes())
		card.Tx <- b
		got, buffers := s.frame()
		if want := (headerLen + n + smallRoom - 1) / smallRoom; buffers != want {
			t.Errorf("%d bytes are in %d buffers, want %d", n, buffers, want)
		}
		if !bytes.Equal(got, want) {
			t.Errorf("%d bytes are others", n)
		}
	}
	card.Tx <- frame(r, smallRoom*maxMerged+1, 1000)
	for range maxMerged { // they come back, with a header at most
		if b := s.next(); len(b) > headerLen {
			t.Fatalf("a buffer with %d bytes", len(b))
		}
	}
	waitFor(t, "it was dropped", func() bool { return card.Stats.DropTxFull.Load() == 1 })
	card.Tx <- frame(r, 60, 0)
	if b := s.next(); binary.LittleEndian.Uint16(b[10:]) != 5 {
		t.Error("the next frame does not come")
	}
}

func waitFor(t *testing.T, what string, done func() bool) {
	t.Helper()
	for range 20000 {
		if done() {
			return
		}
		time.Sleep(time.Millisecond)
	}
	t.Errorf("not yet: %s", what)
}

// TestBadFrames has a guest send what are no frames.
func TestBadFrames(t *testing.T) {
	path := t.TempDir() + "/s"
	card, err := Listen(path, Config{Report: func(ring int, err error) { t.Errorf("ring %d: %v", ring, err) }})
	if err != nil {
		t.Fatal(err)
	}
	defer end(card)
	s := newSmall(t, path, featureMrgRxbuf|featureCsum|featureHostTSO4)
	for _, c := range []struct {
		name   string
		n      int
		header []byte
		drops  func(*link.Stats) uint64
	}{
		{"shorter than its header", 5, nil, malformed},
		{"a header, and nothing", headerLen, nil, malformed},
		{"shorter than Ethernet", headerLen + 13, nil, malformed},
		{"too long", headerLen + 66<<10 + 1, nil, func(s *link.Stats) uint64 { return s.DropTooLong.Load() }},
		{"a checksum beyond its end", headerLen + 60, []byte{1, 0, 0, 0, 0, 0, 59, 0, 0, 0}, malformed},
		{"a checksum far off", headerLen + 60, []byte{1, 0, 0, 0, 0, 0, 255, 255, 255, 255}, malformed},
		{"a train of nothing", headerLen + 60, []byte{1, 1, 0, 0, 0, 0, 34, 0, 16, 0}, malformed},
		{"an unknown train", headerLen + 60, []byte{1, 77, 0, 0, 1, 0, 34, 0, 16, 0}, malformed},
	} {
		before := c.drops(card.Stats)
		b, _ := s.table.Slice(guestBase+sendAt, uint64(c.n))
		clear(b)
		copy(b, c.header)
		if _, err := s.sent.Add([]virtqueue.Span{{Addr: guestBase + sendAt, Len: uint32(c.n)}}, 1); err != nil {
			t.Fatal(err)
		}
		if s.sent.Publish() {
			s.kick.Signal()
		}
		waitFor(t, c.name, func() bool { return c.drops(card.Stats) == before+1 })
	}
	if n := card.Stats.RxFrames.Load(); n != 0 {
		t.Errorf("%d frames came", n)
	}
}

func malformed(s *link.Stats) uint64 { return s.DropMalformed.Load() }
