package tcp

import (
	"fmt"
	"testing"
	"time"
)

// text has the peer send n bytes behind from, and the user read them.
func (p *peer) text(c *Conn, from, n int) {
	p.t.Helper()
	p.send(fmt.Sprintf("P. %d:%d(%d) ack %d win 60000", from, from+n, n, p.sent()))
	if _, err := c.Read(make([]byte, n)); err != nil {
		p.t.Fatal(err)
	}
}

// sent is SND.NXT of the stack's only connection, from its ISS.
func (p *peer) sent() (n int) {
	var conns []*Conn
	p.sockets.ask(func(_ time.Time, d *demux) {
		for _, c := range d.conns {
			conns = append(conns, c)
		}
	})
	for _, c := range conns {
		n = int(c.Info().BytesSent) // and our SYN
	}
	return n
}

// TestQuickACKs: RFC5681-4.2: the first acknowledgements do not wait, nor those
// after an idle time; then each waits for company.
func TestQuickACKs(t *testing.T) {
	withQuickPeer(t, Config{}, func(p *peer) {
		c := p.connected()
		at := 1
		for range 2 {
			for i := range 16 {
				p.text(c, at, 10)
				at += 10
				p.want(fmt.Sprintf("segment %d", i), fmt.Sprintf(". 1:1(0) ack %d", at))
				time.Sleep(10 * time.Millisecond)
			}
			p.text(c, at, 10)
			at += 10
			p.wantIdle("the next waits")
			time.Sleep(41 * time.Millisecond)
			p.want("for 40 ms", fmt.Sprintf(". 1:1(0) ack %d", at))
			time.Sleep(time.Second)
		}
		c.Close()
	})
}

// TestQuickACKsOfAnswers: where the user answers each text, the answers
// acknowledge, but for the first time; and when he answers no more it is at once
// again.
func TestQuickACKsOfAnswers(t *testing.T) {
	withQuickPeer(t, Config{}, func(p *peer) {
		c := p.connected()
		at, own := 1, 1
		for i := range 5 {
			p.text(c, at, 10)
			at += 10
			if i == 0 {
				p.want("the first", fmt.Sprintf(". 1:1(0) ack %d", at))
			}
			p.wantIdle("the answer acknowledges")
			p.write(c, 5)
			p.want("the answer", fmt.Sprintf("P. %d:%d(5) ack %d", own, own+5, at))
			own += 5
		}
		p.text(c, at, 10)
		at += 10
		time.Sleep(41 * time.Millisecond)
		p.want("no answer has come", fmt.Sprintf(". %d:%d(0) ack %d", own, own, at))
		p.text(c, at, 10)
		at += 10
		p.want("and none is waited for", fmt.Sprintf(". %d:%d(0) ack %d", own, own, at))
		c.Close()
	})
}

// TestAtOnce: RFC5681-4.2, RFC2883-4: what repeats, wholly or in part, what fills a hole, and
// what comes ahead of one is acknowledged at once, however used to delays.
func TestAtOnce(t *testing.T) {
	for _, c := range []struct{ name, text, ack string }{
		{"wholly repeated", "P. 1:101(100) ack 1 win 60000", ". 1:1(0) ack 101"},
		{"partly repeated", "P. 91:111(20) ack 1 win 60000", ". 1:1(0) ack 111"},
		{"ahead of a hole", "P. 201:211(10) ack 1 win 60000", ". 1:1(0) ack 101"},
		{"ahead, repeated", "P. 401:411(10) ack 1 win 60000", ". 1:1(0) ack 101"},
		{"fills a hole", "P. 101:401(300) ack 1 win 60000", ". 1:1(0) ack 501"},
		{"fills a part of a hole", "P. 101:111(10) ack 1 win 60000", ". 1:1(0) ack 111"},
	} {
		withPeer(t, Config{}, func(p *peer) {
			conn := p.connected()
			p.send("P. 1:101(100) ack 1 win 60000")
			p.wantIdle("an acknowledgement waits")
			time.Sleep(41 * time.Millisecond)
			p.want("the first text", ". 1:1(0) ack 101")
			switch c.name {
			case "ahead, repeated", "fills a hole", "fills a part of a hole":
				p.send("P. 401:501(100) ack 1 win 60000")
				p.want("a hole", ". 1:1(0) ack 101")
			}
			p.send(c.text)
			p.want(c.name, c.ack)
			conn.Close()
		})
	}
}
