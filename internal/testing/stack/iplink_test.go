package stack

import (
	"bytes"
	"fmt"
	"io"
	"net/netip"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/gopacket"
	"github.com/google/gopacket/layers"
	"github.com/google/gopacket/pcapgo"

	"github.com/seed-012105e5/gonet"
	"github.com/seed-012105e5/gonet/ethernet"
	"github.com/seed-012105e5/gonet/link"
	"github.com/seed-012105e5/gonet/packet"
)

// TestIPLink has two stacks talk over a line without Ethernet: TCP in trains, over a
// good and a bad line, UDP to one and to a group, echoes, and a host behind the
// other. What passes is recorded, and is raw IP.
func TestIPLink(t *testing.T) {
	for name, wire := range map[string]link.Impairment{
		"good": {},
		"bad":  {Rate: 100e6, Delay: time.Millisecond, Loss: 0.01, Corrupt: 0.01, Reorder: 0.01, Seed: 1},
	} {
		t.Run(name, func(t *testing.T) {
			before := packet.Live()
			synctest.Test(t, func(t *testing.T) { testIPLink(t, wire) })
			if left := packet.Live() - before; left != 0 {
				t.Errorf("%d packets are left", left)
			}
		})
	}
}

func testIPLink(t *testing.T, wire link.Impairment) {
	var file bytes.Buffer
	cardA, cardB := link.Pipe(link.PipeConfig{IP: true})
	cardA = link.Tee(cardA, func(err error) { t.Error(err) }, link.Pcap(&file))
	if wire != (link.Impairment{}) {
		cardB = link.Impair(cardB, wire)
	}
	// The addresses are of one host each, as with tunnels: all else is beyond the line.
	a, err := gonet.New(gonet.Config{Link: cardA, Addr: netip.MustParsePrefix("10.1.0.1/32"), Routes: []gonet.Route{{Prefix: netip.MustParsePrefix("0.0.0.0/0")}}})
	if err != nil {
		t.Fatal(err)
	}
	b, err := gonet.New(gonet.Config{Link: cardB, Addr: netip.MustParsePrefix("10.2.0.1/32"), Routes: []gonet.Route{{Prefix: netip.MustParsePrefix("0.0.0.0/0")}}})
	if err != nil {
		t.Fatal(err)
	}
	l, err := b.Listen("tcp", ":80")
	if err != nil {
		t.Fatal(err)
	}
	go func() {
		c, err := l.Accept()
		if err == nil {
			io.Copy(c, c)
			c.Close()
		}
	}()
	c, err := a.Dial("tcp", "10.2.0.1:80")
	if err != nil {
		t.Fatal(err)
	}
	text := bytes.Repeat([]byte("over a line without Ethernet "), 20_000)
	go func() { c.Write(text); c.(interface{ CloseWrite() error }).CloseWrite() }()
	got, err := io.ReadAll(c)
	if err != nil || !bytes.Equal(got, text) {
		t.Errorf("%d of %d bytes came back, %v", len(got), len(text), err)
	}
	c.Close()
	if wire == (link.Impairment{}) {
		if _, err := a.Ping(t.Context(), netip.MustParseAddr("10.2.0.1")); err != nil {
			t.Error(err)
		}
		if _, err := a.Dial("tcp", "10.2.0.1:81"); err == nil {
			t.Error("a port without a listener is open")
		}
	}
	for name, value := range a.Stats() {
		if value > 0 && (len(name) > 4 && name[:4] == "arp." || len(name) > 9 && name[:9] == "ethernet.") {
			t.Errorf("%s is %d on a stack without Ethernet", name, value)
		}
	}
	if a.Stats()["rawip.RxIP"] == 0 {
		t.Error("no datagram was counted")
	}
	a.Close()
	b.Close()
	checkRaw(t, &file)
}

// checkRaw reads a recording.
func checkRaw(t *testing.T, file io.Reader) {
	t.Helper()
	r, err := pcapgo.NewReader(file)
	if err != nil {
		t.Fatal(err)
	}
	if r.LinkType() != layers.LinkTypeRaw {
		t.Fatalf("the recording is one of %v", r.LinkType())
	}
	n := 0
	for ; ; n++ {
		data, _, err := r.ReadPacketData()
		if err == io.EOF {
			break
		}
		if err != nil {
			t.Fatal(err)
		}
		p := gopacket.NewPacket(data, layers.LayerTypeIPv4, gopacket.Default)
		if p.Layer(layers.LayerTypeIPv4) == nil {
			t.Fatalf("record %d is no datagram: % x", n, data[:min(len(data), 20)])
		}
	}
	if n < 20 {
		t.Errorf("%d records", n)
	}
}

// TestIPLinkRefuses has a link without Ethernet be given what only ARP can do.
func TestIPLinkRefuses(t *testing.T) {
	for name, f := range map[string]gonet.Interface{
		"probe":  {Probe: true},
		"static": {Static: map[netip.Addr]ethernet.Addr{netip.MustParseAddr("10.0.0.1"): {2}}},
	} {
		f.Link, _ = link.Pipe(link.PipeConfig{IP: true})
		f.Addrs = []netip.Prefix{netip.MustParsePrefix("10.0.0.2/24")}
		if _, err := gonet.New(gonet.Config{Interfaces: []gonet.Interface{f}}); err == nil {
			t.Errorf("%s: taken", name)
		}
	}
}

// TestText shows a datagram as text.
func TestIPLinkText(t *testing.T) {
	var out bytes.Buffer
	a, b := link.Pipe(link.PipeConfig{IP: true})
	a = link.Tee(a, nil, link.Text(&out))
	stack, err := gonet.New(gonet.Config{Link: a, Addr: netip.MustParsePrefix("10.0.0.1/24")})
	if err != nil {
		t.Fatal(err)
	}
	c, err := stack.Dial("udp", "10.0.0.2:9")
	if err != nil {
		t.Fatal(err)
	}
	fmt.Fprint(c, "x")
	(<-b.Rx).Release()
	close(b.Tx)
	stack.Close()
	if !bytes.Contains(out.Bytes(), []byte("IP 10.0.0.1.")) {
		t.Errorf("%s", &out)
	}
}
