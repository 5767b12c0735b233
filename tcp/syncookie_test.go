package tcp

import (
	"encoding/binary"
	"fmt"
	"math/rand/v2"
	"net/netip"
	"runtime"
	"testing"
	"testing/synctest"
	"time"

	"github.com/seed-012105e5/gonet/edge"
	"github.com/seed-012105e5/gonet/internal/testing/tcptest"
	"github.com/seed-012105e5/gonet/ip"
	"github.com/seed-012105e5/gonet/packet"
	"github.com/seed-012105e5/gonet/tcp/segment"
)

// TestSynFlood: RFC4987-3.6: a million SYNs from as many addresses take no more
// memory than the first thousands, and an honest client connects at any time.
func TestSynFlood(t *testing.T) {
	const rounds = 10
	each := 100_000
	if testing.Short() {
		each = 3_000
	}
	withPeer(t, Config{SynBacklog: 1024}, func(p *peer) {
		l := p.listen()
		heap := make([]uint64, rounds)
		for round := range rounds {
			p.flood(round, each)
			for _, options := range []string{"mss 1460", "mss 1460,sackOK,TS val 1 ecr 0,wscale 7"} {
				p.honest(l, options)
			}
			heap[round] = heapInUse()
		}
		if grown := int(heap[rounds-1]) - int(heap[0]); grown > 1<<20 {
			t.Errorf("the heap has grown by %d bytes: %v", grown, heap)
		}
		t.Logf("%d SYNs, heap after each tenth %v, %d cookies sent, %d came back", rounds*each, heap,
			p.stats.SynCookiesSent.Load(), p.stats.SynCookiesAccepted.Load())
		if n := p.stats.SynCookiesAccepted.Load(); n != 2*rounds {
			t.Errorf("%d of %d honest clients came by a cookie", n, 2*rounds)
		}
	})
}

// flood has n SYNs come, ten microseconds apart, from addresses of their own.
func (p *peer) flood(round, n int) {
	for i := range n {
		f := ip.Flow{Local: p.flow.Local}
		tcptest.SetAddr(&f.Remote, binary.BigEndian.AppendUint32(nil, 11<<24+uint32(round*n+i))...)
		f.Remote.Port = uint16(1024 + i%50000)
		b := tcptest.Wire(segment.Segment{Seq: segment.Seq(i * 7), Flags: segment.SYN, Window: 1000, Opts: segment.Options{MSS: 1460}}, ip.Flow{Local: f.Remote, Remote: f.Local}, nil)
		b.Arrived = time.Now()
		p.in <- b
		if i%32 == 0 {
			synctest.Wait()
			p.drain()
		}
		if i%1000 == 0 {
			time.Sleep(10 * time.Millisecond)
		}
	}
	synctest.Wait()
	p.drain()
}

// drain throws away what the stack has sent.
func (p *peer) drain() {
	for len(p.out) > 0 {
		(<-p.out).Release()
	}
}

// honest connects, sends text, and goes.
func (p *peer) honest(l *Listener, options string) {
	p.t.Helper()
	p.flow.Remote.Port++
	p.send("S 0:0(0) win 60000 <" + options + ">")
	s := p.want("an honest SYN is answered", "S. 0:0(0) ack 1")
	ack := ""
	if o := s.Opts; o.HasTimestamps {
		if !o.HasScale || !o.SackPermitted {
			p.t.Errorf("the SYN-ACK has %v", &o)
		}
		ack = fmt.Sprintf("<TS val 2 ecr %d>", o.TSVal)
	}
	p.send("P. 1:101(100) ack 1 win 60000 " + ack)
	c, err := l.AcceptTCP()
	if err != nil {
		p.t.Fatal(err)
	}
	if n, err := c.Read(make([]byte, 1000)); n != 100 || err != nil {
		p.t.Errorf("read %d, %v", n, err)
	}
	i := c.Info()
	if timestamps := s.Opts.HasTimestamps; i.Timestamps != timestamps || i.SACK != timestamps || (i.SendScale == 7) != timestamps {
		p.t.Errorf("with %s: %+v", options, i)
	}
	if err := c.SetLinger(0); err != nil {
		p.t.Fatal(err)
	}
	c.Close()
	synctest.Wait()
	p.drain()
}

func heapInUse() uint64 {
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return m.HeapAlloc
}

// TestBlindACKs: RFC4987-3.6: acknowledgements that nobody waits for cost no
// hash; those that come while cookies are out are counted.
func TestBlindACKs(t *testing.T) {
	withPeer(t, Config{SynBacklog: 1}, func(p *peer) {
		p.listen()
		p.send(". 1:1(0) ack 77 win 60000")
		p.want("a reset", "R 77:77(0)")
		if n := p.stats.SynCookiesBad.Load(); n != 0 {
			t.Errorf("%d bad cookies before there were any", n)
		}
		p.send("[peer 2] S 0:0(0) win 60000 <mss 1000>")
		p.want("the first SYN is remembered", "S. 0:0(0) ack 1")
		p.send("S 0:0(0) win 60000 <mss 1000>")
		p.want("the second has a cookie", "S. 0:0(0) ack 1")
		p.send(". 1:1(0) ack 77 win 60000")
		p.want("a reset", "R 77:77(0)")
		if n := p.stats.SynCookiesBad.Load(); n != 1 {
			t.Errorf("%d bad cookies", n)
		}
		time.Sleep(2 * 64 * time.Second) // two periods of SYN cookies
		p.drain()
		p.send(". 1:1(0) ack 77 win 60000")
		p.want("a reset", "R 77:77(0)")
		if n := p.stats.SynCookiesBad.Load(); n != 1 {
			t.Errorf("%d bad cookies after their time", n)
		}
	})
}

// TestSynCookieAcceptFull: RFC4987-3.6: an answer to a cookie that finds nobody
// accepting is dropped, and may come again.
func TestSynCookieAcceptFull(t *testing.T) {
	withPeer(t, Config{SynBacklog: 1, Backlog: 1}, func(p *peer) {
		l := p.listen()
		p.send("[peer 2] S 0:0(0) win 60000 <mss 1000>")
		p.want("the first SYN is remembered", "S. 0:0(0) ack 1")
		first := p.iss
		p.send("S 0:0(0) win 60000 <mss 1000>")
		p.want("the second has a cookie", "S. 0:0(0) ack 1")
		cookie := p.iss
		p.iss = first
		p.send("[peer 2] . 1:1(0) ack 1 win 60000")
		p.iss = cookie
		p.send("P. 1:11(10) ack 1 win 60000")
		p.wantIdle("no room")
		if _, err := l.AcceptTCP(); err != nil {
			t.Fatal(err)
		}
		p.send("P. 1:11(10) ack 1 win 60000")
		c, err := l.AcceptTCP()
		if err != nil {
			t.Fatal(err)
		}
		if n, err := c.Read(make([]byte, 100)); n != 10 || err != nil {
			t.Errorf("read %d, %v", n, err)
		}
	})
}

// TestSynFloodDoesNotAllocate: RFC4987-3.6: a SYN that is answered by a cookie
// costs hashes, and no memory.
func TestSynFloodDoesNotAllocate(t *testing.T) {
	if packet.Checked {
		t.Skip("under -race, sync.Pool loses things on purpose")
	}
	table, err := ip.NewTable([]ip.Interface{{Addrs: []netip.Prefix{netip.MustParsePrefix("10.0.0.1/24")}}}, nil)
	if err != nil {
		t.Fatal(err)
	}
	var stats Stats
	answers := make(chan *packet.Buffer, 1)
	d := newDemux(Config{Table: ip.Publish(table), Random: rand.New(rand.NewPCG(1, 8)).Uint64, SynBacklog: 1}, &stats, ip.Edges{Loop: edge.To(answers).Out()}, nil, ip.Edges{Loop: edge.To(answers).Out()}, nil)
	if _, err := d.listen(nil, ip.Endpoint{Port: 80}, &ListenOptions{}); err != nil {
		t.Fatal(err)
	}
	f, i := tcptest.PeerFlow(1), 0
	n := testing.AllocsPerRun(1000, func() {
		i++
		tcptest.SetAddr(&f.Remote, 11, 0, byte(i>>8), byte(i))
		b := tcptest.Wire(segment.Segment{Seq: segment.Seq(i), Flags: segment.SYN, Opts: segment.Options{MSS: 1460, HasTimestamps: true}}, ip.Flow{Local: f.Remote, Remote: f.Local}, nil)
		b.Arrived = tcptest.Start
		d.arrives(b)
		(<-answers).Release()
	})
	if sent := stats.SynCookiesSent.Load(); n != 0 || sent != 1000 {
		t.Errorf("%v allocations a SYN, %d cookies sent", n, sent)
	}
}
