package netdev

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"io"
	"net"
	"net/netip"
	"os"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/gopacket"
	"github.com/google/gopacket/layers"

	gonet "github.com/seed-012105e5/gonet"
	"github.com/seed-012105e5/gonet/link"
	"github.com/seed-012105e5/gonet/packet"
)

// A plug is a port that tests put wires into.
type plug struct {
	wires chan net.Conn
	end   chan struct{}
}

func newPlug() *plug { return &plug{make(chan net.Conn), make(chan struct{})} }

func (p *plug) next(ctx context.Context) (wire, error) {
	select {
	case c := <-p.wires:
		return newStream(c), nil
	case <-ctx.Done():
		return nil, ctx.Err()
	}
}

func (p *plug) close() { close(p.end) }

// in puts the virtual machine into the plug.
func (p *plug) in() net.Conn {
	a, b := net.Pipe()
	p.wires <- a
	return b
}

// end closes a link, and waits until it has ended.
func end(l link.Link) {
	close(l.Tx)
	for b := range l.Rx {
		b.Release()
	}
}

// train is a frame of TCP with n bytes of text, in segments of size.
func train(t *testing.T, n, size int) *packet.Buffer {
	t.Helper()
	ip := &layers.IPv4{Version: 4, TTL: 64, Protocol: layers.IPProtocolTCP, SrcIP: net.IP{10, 0, 0, 1}, DstIP: net.IP{10, 0, 0, 2}}
	tcp := &layers.TCP{SrcPort: 1, DstPort: 2, ACK: true}
	tcp.SetNetworkLayerForChecksum(ip)
	text := make(gopacket.Payload, n)
	for i := range text {
		text[i] = byte(i) ^ byte(i>>8)
	}
	out := gopacket.NewSerializeBuffer()
	err := gopacket.SerializeLayers(out, gopacket.SerializeOptions{FixLengths: true, ComputeChecksums: true},
		&layers.Ethernet{SrcMAC: net.HardwareAddr{2, 0, 0, 0, 0, 1}, DstMAC: net.HardwareAddr{2, 0, 0, 0, 0, 2}, EthernetType: layers.EthernetTypeIPv4}, ip, tcp, text)
	if err != nil {
		t.Fatal(err)
	}
	b := packet.From(out.Bytes())
	if size > 0 {
		// What stands there is the sum of the pseudo-header, without the length.
		p := b.Bytes()
		binary.BigEndian.PutUint16(p[50:], 0)
		b.SetPartial(34, 16)
		b.SegmentSize = size
	}
	return b
}

// TestTrains: what is sent is segments, and those that come together are one train.
func TestTrains(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		pa, pb := newPlug(), newPlug()
		cfg, _ := Config{Report: func(err error) { t.Error(err) }}.complete()
		a, b := start(cfg, pa), start(cfg, pb)
		x, y := net.Pipe()
		pa.wires <- x
		pb.wires <- y
		synctest.Wait()
		sent := train(t, 3*1000+10, 1000)
		text := bytes.Clone(sent.Bytes()[54:])
		a.Tx <- sent
		got := <-b.Rx
		if got.SegmentSize != 1000 || !bytes.Equal(got.Bytes()[54:], text) || got.Arrived.IsZero() {
			t.Errorf("%d bytes came, in segments of %d", got.Len(), got.SegmentSize)
		}
		got.Release()
		synctest.Wait()
		if n := a.Stats.TxFrames.Load(); n != 4 || b.Stats.Joined.Load() != 3 || b.Stats.RxFrames.Load() != 1 {
			t.Errorf("%d frames were sent, %d joined, %d received", n, b.Stats.Joined.Load(), b.Stats.RxFrames.Load())
		}
		a.Tx <- packet.From(make([]byte, 1519))
		a.Tx <- packet.From(make([]byte, 1518))
		if got := <-b.Rx; got.Len() != 1518 {
			t.Errorf("%d bytes", got.Len())
		}
		if n := a.Stats.DropTooLong.Load(); n != 1 {
			t.Errorf("%d frames were too long", n)
		}
		end(a)
		end(b)
	})
}

// TestBadStream: what is no frame is counted, and a stream that is out of step ends;
// the next one is served.
func TestBadStream(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := newPlug()
		var reported atomic.Value
		cfg, _ := Config{Report: func(err error) { reported.Store(err) }}.complete()
		l := start(cfg, p)
		for round := range uint64(3) {
			c := p.in()
			var text []byte
			for _, n := range []int{0, 13, 1519, 60} {
				text = appendFrame(text, make([]byte, n))
			}
			if _, err := c.Write(text); err != nil {
				t.Fatal(err)
			}
			if b := <-l.Rx; b.Len() != 60 {
				t.Errorf("%d bytes", b.Len())
			}
			if s := l.Stats; s.DropMalformed.Load() != 2*(round+1) || s.DropTooLong.Load() != round+1 {
				t.Errorf("%d malformed, %d too long", s.DropMalformed.Load(), s.DropTooLong.Load())
			}
			c.Write([]byte{255, 255, 255, 255})
			if _, err := io.ReadAll(c); err != nil {
				t.Error(err)
			}
			synctest.Wait()
			if err, _ := reported.Load().(error); !errors.Is(err, ErrFrame) {
				t.Error(err)
			}
		}
		end(l)
		<-p.end
	})
}

// TestNobodyReads: frames for a virtual machine that takes none are dropped, after a
// while at once; when it goes on it finds whole frames.
func TestNobodyReads(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := newPlug()
		cfg, _ := Config{}.complete()
		l := start(cfg, p)
		for range 5 { // there is no carrier
			l.Tx <- packet.From(make([]byte, 60))
		}
		synctest.Wait()
		if n := l.Stats.DropTxError.Load(); n != 5 {
			t.Errorf("%d frames were dropped before the machine came", n)
		}
		c := p.in()
		defer c.Close()
		synctest.Wait()
		begun := time.Now()
		const n = 1000
		for range n {
			l.Tx <- packet.From(make([]byte, 1000))
		}
		synctest.Wait()
		if took := time.Since(begun); took > 2*patience {
			t.Errorf("%d frames took %v", n, took)
		}
		dropped, sent := l.Stats.DropTxFull.Load(), l.Stats.TxFrames.Load()
		if dropped+sent != n || dropped < n-batchLen/1000-2*link.QueueLen {
			t.Errorf("%d frames were dropped, %d sent", dropped, sent)
		}
		go func() { time.Sleep(time.Second); l.Tx <- packet.From(make([]byte, 60)); end(l) }()
		in := newDecoder()
		var got []int
		for {
			k, err := c.Read(in.space())
			if err != nil {
				break
			}
			in.added(k)
			for {
				p, ok, err := in.next()
				if err != nil {
					t.Fatal(err)
				}
				if !ok {
					break
				}
				got = append(got, len(p))
			}
		}
		if uint64(len(got)) != sent+1 || got[len(got)-1] != 60 {
			t.Errorf("%d frames came, want %d, the last one of 60", len(got), sent+1)
		}
	})
}

// crosses waits until frames cross from a to b.
func crosses(t *testing.T, a, b link.Link) {
	t.Helper()
	for range 2000 {
		a.Tx <- packet.From(make([]byte, 60))
		select {
		case p := <-b.Rx:
			p.Release()
			for { // those that are under way
				select {
				case p := <-b.Rx:
					p.Release()
				case <-time.After(20 * time.Millisecond):
					return
				}
			}
		case <-time.After(10 * time.Millisecond):
		}
	}
	t.Fatal("nothing crosses")
}

func must(t *testing.T, l link.Link, err error) link.Link {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
	return l
}

// TestReconnect: either side goes and comes again, the client first too, and sockets
// that nobody has any more are in nobody's way.
func TestReconnect(t *testing.T) {
	dir := t.TempDir()
	cfg := Config{Report: func(err error) { t.Error(err) }}
	for _, open := range []struct {
		name string
		a, b func() (link.Link, error)
	}{
		{"stream", func() (link.Link, error) { return Dial(dir+"/s", cfg) }, func() (link.Link, error) { return Listen(dir+"/s", cfg) }},
		{"dgram", func() (link.Link, error) { return OpenDatagram(dir+"/a", dir+"/b", cfg) },
			func() (link.Link, error) { return OpenDatagram(dir+"/b", dir+"/a", cfg) }},
	} {
		t.Run(open.name, func(t *testing.T) {
			a, err := open.a()
			a = must(t, a, err)
			b, err := open.b()
			b = must(t, b, err)
			for range 3 {
				crosses(t, a, b)
				crosses(t, b, a)
				end(b)
				b, err = open.b()
				b = must(t, b, err)
				crosses(t, b, a)
				end(a)
				a, err = open.a()
				a = must(t, a, err)
			}
			crosses(t, a, b)
			if _, err := open.b(); err == nil {
				t.Error("a socket that somebody has was taken")
			}
			end(a)
			end(b)
		})
	}
	for _, name := range []string{"s", "a", "b"} {
		if _, err := os.Stat(dir + "/" + name); err == nil {
			t.Errorf("%s is still there", name)
		}
	}
}

// TestStale: a socket that a process has left behind makes room.
func TestStale(t *testing.T) {
	path := t.TempDir() + "/s"
	for _, kind := range []string{"unix", "unixgram"} {
		addr := &net.UnixAddr{Net: kind, Name: path}
		var old io.Closer
		if kind == "unix" {
			l, err := net.ListenUnix(kind, addr)
			if err != nil {
				t.Fatal(err)
			}
			l.SetUnlinkOnClose(false)
			old = l
		} else {
			c, err := net.ListenUnixgram(kind, addr)
			if err != nil {
				t.Fatal(err)
			}
			old = c
		}
		old.Close()
		open := func() (link.Link, error) { return Listen(path, Config{}) }
		if kind == "unixgram" {
			open = func() (link.Link, error) { return OpenDatagram(path, path+"x", Config{}) }
		}
		l, err := open()
		end(must(t, l, err))
	}
}

// TestStacks has two stacks speak TCP over either kind.
func TestStacks(t *testing.T) {
	dir := t.TempDir()
	for _, kind := range []string{"stream", "dgram"} {
		t.Run(kind, func(t *testing.T) {
			var a, b link.Link
			var errA, errB error
			if kind == "stream" {
				a, errA = Listen(dir+"/s", Config{})
				b, errB = Dial(dir+"/s", Config{MAC: [6]byte{2, 0, 0, 0, 0, 2}})
			} else {
				a, errA = OpenDatagram(dir+"/a", dir+"/b", Config{})
				b, errB = OpenDatagram(dir+"/b", dir+"/a", Config{MAC: [6]byte{2, 0, 0, 0, 0, 2}})
			}
			a, b = must(t, a, errA), must(t, b, errB)
			crosses(t, a, b)
			crosses(t, b, a)
			talk(t, a, b)
		})
	}
}

// talk has a text go there and back between two stacks.
func talk(t *testing.T, a, b link.Link) {
	t.Helper()
	server, err := gonet.New(gonet.Config{Link: a, Addr: netip.MustParsePrefix("10.0.0.1/24")})
	if err != nil {
		t.Fatal(err)
	}
	defer server.Close()
	client, err := gonet.New(gonet.Config{Link: b, Addr: netip.MustParsePrefix("10.0.0.2/24")})
	if err != nil {
		t.Fatal(err)
	}
	defer client.Close()
	l, err := server.Listen("tcp", ":7")
	if err != nil {
		t.Fatal(err)
	}
	go func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			go func() { io.Copy(c, c); c.Close() }()
		}
	}()
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	c, err := client.DialContext(ctx, "tcp", "10.0.0.1:7")
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	text := make([]byte, 512<<10)
	for i := range text {
		text[i] = byte(i) ^ byte(i>>11)
	}
	go c.Write(text)
	got := make([]byte, len(text))
	if _, err := io.ReadFull(c, got); err != nil || !bytes.Equal(got, text) {
		t.Errorf("another text came back: %v", err)
	}
}

func TestConfig(t *testing.T) {
	path := t.TempDir() + "/s"
	for name, cfg := range map[string]Config{"a small MTU": {MTU: 67}, "a large MTU": {MTU: 65536}, "a group's MAC": {MAC: [6]byte{1}}} {
		for _, open := range []func(Config) (link.Link, error){
			func(c Config) (link.Link, error) { return Listen(path, c) }, func(c Config) (link.Link, error) { return Dial(path, c) },
			func(c Config) (link.Link, error) { return OpenDatagram(path, path+"x", c) },
		} {
			if _, err := open(cfg); err == nil {
				t.Errorf("%s: no error", name)
			}
		}
	}
}
