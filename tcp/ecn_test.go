package tcp

import (
	"testing"
	"testing/synctest"
	"time"

	"github.com/seed-012105e5/gonet/internal/testing/tcptest"
	"github.com/seed-012105e5/gonet/ip"
	"github.com/seed-012105e5/gonet/ipv4"
)

// TestECNOnTheWire: RFC3168-6.1.1, RFC3168-6.1.3: a connection sees the marks in
// the IP header, and its SYN-ACK is not ECT, whatever the user sets.
func TestECNOnTheWire(t *testing.T) {
	withPeer(t, Config{}, func(p *peer) {
		l := p.listen()
		p.send("SEW 0:0(0) win 60000 <mss 1000>")
		if s := p.want("agreed", "S.E 0:0(0) ack 1"); s.ECN != ip.NotECT {
			t.Errorf("SYN-ACK is %v", s.ECN)
		}
		p.send(". 1:1(0) ack 1 win 60000")
		c, err := l.AcceptTCP()
		if err != nil {
			t.Fatal(err)
		}
		if err := c.SetTOS(0xbb); err != nil {
			t.Fatal(err)
		}
		p.send("[ce] . 1:1001(1000) ack 1 win 60000")
		if s := p.want("echo", ".E 1:1(0) ack 1001"); s.ECN != ip.NotECT {
			t.Errorf("acknowledgement is %v", s.ECN)
		}
		if _, err := c.Write([]byte("text")); err != nil {
			t.Fatal(err)
		}
		synctest.Wait()
		b := <-p.out
		if tos := ipv4.Header(b.Bytes()).TOS(); tos != 0xb8|uint8(ip.ECT0) {
			t.Errorf("TOS %#x", tos)
		}
		b.Release()
		if i := c.Info(); !i.ECN || i.BytesReceivedCE != 1000 {
			t.Errorf("info %+v", i)
		}
	})
}

// TestPriorAcknowledgementFirst: RFC8257-3.2: a connection that has found the marks
// to begin says so before it takes what has come behind, though all are in one
// burst.
func TestPriorAcknowledgementFirst(t *testing.T) {
	withPeer(t, Config{ECN: ECNAccept, Congestion: "precise", Controllers: tcptest.ControllersOfTests()}, func(p *peer) {
		l := p.listen()
		p.send("SEW 0:0(0) win 60000 <mss 1000>")
		p.want("agreed", "S.E 0:0(0) ack 1")
		p.send(". 1:1(0) ack 1 win 60000")
		c, err := l.AcceptTCP()
		if err != nil {
			t.Fatal(err)
		}
		c.take() // so that all wait in the mailbox
		p.pass(". 1:101(100) ack 1 win 60000", "[ce] . 101:201(100) ack 1 win 60000", ". 201:301(100) ack 1 win 60000")
		synctest.Wait()
		c.put(time.Now())
		p.want("what came unmarked", ". 1:1(0) ack 101")
		p.want("what came marked", ".E 1:1(0) ack 201")
		p.want("what came behind", ". 1:1(0) ack 301")
	})
}
