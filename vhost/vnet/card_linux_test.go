package vnet

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"math/rand/v2"
	"net/netip"
	"testing"
	"time"

	gonet "github.com/seed-012105e5/gonet"
	"github.com/seed-012105e5/gonet/link"
	"github.com/seed-012105e5/gonet/packet"
)

// pair returns a card and the driver at it.
func pair(t *testing.T, cardConfig, driverConfig Config) (card, driver link.Link) {
	t.Helper()
	path := t.TempDir() + "/s"
	cardConfig.Report = func(ring int, err error) { t.Errorf("ring %d: %v", ring, err) }
	card, err := Listen(path, cardConfig)
	if err != nil {
		t.Fatal(err)
	}
	driver, err = Dial(path, driverConfig)
	if err != nil {
		t.Fatal(err)
	}
	return card, driver
}

// end closes both links, and waits until they have ended.
func end(links ...link.Link) {
	for _, l := range links {
		close(l.Tx)
		for b := range l.Rx {
			b.Release()
		}
	}
}

// frame is an Ethernet frame of n bytes with a TCP segment, at 34, of which the
// checksum is partial if there is room for it.
func frame(r *rand.Rand, n, segment int) *packet.Buffer {
	b := packet.Get(n)
	p := b.Extend(n)
	for i := range p {
		p[i] = byte(r.Uint32())
	}
	if n < 54 {
		return b
	}
	copy(p[12:], []byte{8, 0, 0x45, 0})
	p[16], p[17] = byte((n-14)>>8), byte(n-14)
	copy(p[20:], []byte{0, 0, 64, 6})
	p[46], p[47] = 5<<4, 0x10
	if segment > 0 {
		b.SetPartial(34, 16)
		b.SegmentSize = segment
	}
	return b
}

func receive(t *testing.T, l link.Link) *packet.Buffer {
	t.Helper()
	select {
	case b, ok := <-l.Rx:
		if !ok {
			t.Fatal("the link has ended")
		}
		return b
	case <-time.After(20 * time.Second):
		t.Fatalf("nothing was received; sent: %d, dropped: %d, %d, %d, %d", l.Stats.TxFrames.Load(), l.Stats.DropTxFull.Load(),
			l.Stats.DropMalformed.Load(), l.Stats.DropTxError.Load(), l.Stats.DropTooLong.Load())
	}
	return nil
}

// linked waits until frames cross from a to b: until then there is no carrier.
func linked(t *testing.T, a, b link.Link) {
	t.Helper()
	for range 2000 {
		a.Tx <- packet.From(make([]byte, 60))
		select {
		case p := <-b.Rx:
			p.Release()
			a.Tx <- packet.From(bytes.Repeat([]byte{1}, 61)) // behind all that are under way
			for last := false; !last; {
				p := receive(t, b)
				last = p.Len() == 61
				p.Release()
			}
			return
		case <-time.After(10 * time.Millisecond):
		}
	}
	t.Fatal("nothing crosses")
}

// TestFrames has frames of all lengths cross, both ways, one after the other.
func TestFrames(t *testing.T) {
	card, driver := pair(t, Config{}, Config{})
	defer end(driver, card)
	linked(t, card, driver)
	linked(t, driver, card)
	r := rand.New(rand.NewPCG(1, 2))
	for _, way := range []struct{ from, to link.Link }{{card, driver}, {driver, card}} {
		for _, n := range []int{14, 15, 53, 54, 60, 1000, 1514, 4084, 4085, 4096, 8180, 20000, 65549} {
			segment := 0
			if n > 1514 {
				segment = 1448
			}
			sent := frame(r, n, segment)
			text := bytes.Clone(sent.Bytes())
			way.from.Tx <- sent
			got := receive(t, way.to)
			if !bytes.Equal(got.Bytes(), text) || got.SegmentSize != segment || (got.Checksum == packet.ChecksumPartial) != (segment > 0) {
				t.Errorf("%d bytes: %d came, segments of %d, checksum %d", n, got.Len(), got.SegmentSize, got.Checksum)
			}
			if got.Arrived.IsZero() {
				t.Error("without the time of its arrival")
			}
			got.Release()
		}
	}
	if n := card.Stats.TxFrames.Load(); n < 13 {
		t.Errorf("%d frames are counted", n)
	}
}

// TestNoOffload: where one side takes no trains, segments cross.
func TestNoOffload(t *testing.T) {
	for _, which := range []string{"card", "driver"} {
		card, driver := pair(t, Config{NoOffload: which == "card"}, Config{NoOffload: which == "driver"})
		linked(t, card, driver)
		linked(t, driver, card)
		r := rand.New(rand.NewPCG(1, 3))
		for _, way := range []struct{ from, to link.Link }{{card, driver}, {driver, card}} {
			way.from.Tx <- frame(r, 54+3*1000, 1000)
			for range 3 {
				b := receive(t, way.to)
				if b.Len() != 1054 || b.SegmentSize != 0 || b.Checksum == packet.ChecksumPartial {
					t.Errorf("%d bytes, segments of %d, checksum %d", b.Len(), b.SegmentSize, b.Checksum)
				}
				b.Release()
			}
		}
		end(driver, card)
	}
}

// TestGuests: a driver goes, and the next one is served; between them what is sent
// is dropped.
func TestGuests(t *testing.T) {
	path := t.TempDir() + "/s"
	card, err := Listen(path, Config{})
	if err != nil {
		t.Fatal(err)
	}
	defer end(card)
	for range 3 {
		for range 100 { // nobody takes them
			card.Tx <- frame(rand.New(rand.NewPCG(1, 4)), 60, 0)
		}
		driver, err := Dial(path, Config{})
		if err != nil {
			t.Fatal(err)
		}
		linked(t, card, driver)
		linked(t, driver, card)
		end(driver)
	}
	if card.Stats.DropTxError.Load() == 0 {
		t.Error("nothing was dropped")
	}
}

// TestNobodyReads: a guest that offers no more buffers costs frames, and nothing
// else.
func TestNobodyReads(t *testing.T) {
	card, driver := pair(t, Config{}, Config{})
	defer end(driver, card)
	linked(t, card, driver)
	for range 2000 { // more than the ring and all queues hold
		card.Tx <- frame(rand.New(rand.NewPCG(1, 5)), 60, 0)
	}
	if card.Stats.DropTxFull.Load() == 0 {
		t.Error("nothing was dropped")
	}
	go func() {
		for b := range driver.Rx {
			b.Release()
		}
	}()
	before := card.Stats.TxFrames.Load()
	for range 5000 {
		card.Tx <- frame(rand.New(rand.NewPCG(1, 5)), 60, 0)
		if card.Stats.TxFrames.Load() > before {
			return
		}
		time.Sleep(time.Millisecond)
	}
	t.Error("nothing is sent any more")
}

// TestAnnounce: a request of RARP comes, as RFC 903 has it.
func TestAnnounce(t *testing.T) {
	c := &card{stats: new(link.Stats), rx: make(chan *packet.Buffer, 1)}
	c.Announce([6]byte{2, 3, 4, 5, 6, 7})
	c.Announce([6]byte{2, 3, 4, 5, 6, 7})
	b := <-c.rx
	want := "ffffffffffff020304050607803500010800060400030203040506070000000002030405060700000000"
	if got := fmt.Sprintf("%x", b.Bytes()[:42]); got != want || b.Len() != 60 {
		t.Errorf("%s, want %s", got, want)
	}
	if c.stats.DropRxFull.Load() != 1 {
		t.Error("the second one was not dropped")
	}
}

func TestConfig(t *testing.T) {
	for name, cfg := range map[string]Config{
		"a small MTU": {MTU: 67}, "a large MTU": {MTU: 65536}, "too many queues": {Queues: MaxQueues + 1}, "fewer than none": {Queues: -1},
	} {
		if _, err := Listen(t.TempDir()+"/s", cfg); err == nil {
			t.Errorf("%s: no error", name)
		}
	}
	c := &card{}
	for mtu, ok := range map[int]bool{67: false, 68: true, 9000: true, 65536: false} {
		if err := c.SetMTU(mtu); ok != (err == nil) {
			t.Errorf("an MTU of %d: %v", mtu, err)
		}
	}
}

// TestStacks has two stacks speak TCP over the card and the driver.
func TestStacks(t *testing.T) {
	card, driver := pair(t, Config{}, Config{})
	linked(t, card, driver)
	linked(t, driver, card)
	a, err := gonet.New(gonet.Config{Link: card, Addr: netip.MustParsePrefix("10.0.0.1/24")})
	if err != nil {
		t.Fatal(err)
	}
	defer a.Close()
	b, err := gonet.New(gonet.Config{Link: driver, Addr: netip.MustParsePrefix("10.0.0.2/24")})
	if err != nil {
		t.Fatal(err)
	}
	defer b.Close()
	l, err := a.Listen("tcp", ":80")
	if err != nil {
		t.Fatal(err)
	}
	go func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			go func() {
				io.Copy(c, c)
				c.Close()
			}()
		}
	}()
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	c, err := b.DialContext(ctx, "tcp", "10.0.0.1:80")
	if err != nil {
		t.Fatal(err)
	}
	text := make([]byte, 1<<20)
	for i := range text {
		text[i] = byte(i>>12) ^ byte(i)
	}
	go c.Write(text)
	got := make([]byte, len(text))
	if _, err := io.ReadFull(c, got); err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(got, text) {
		t.Error("another text came back")
	}
	c.Close()
	t.Logf("%d frames for %d bytes", card.Stats.TxFrames.Load(), card.Stats.TxBytes.Load())
	if n := card.Stats.TxBytes.Load() / max(card.Stats.TxFrames.Load(), 1); n < 2000 {
		t.Errorf("%d bytes a frame: no trains cross", n)
	}
}
