package tcp

import (
	"bytes"
	"fmt"
	"io"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/seed-012105e5/gonet/internal/testing/tcptest"
	"github.com/seed-012105e5/gonet/ip"
	"github.com/seed-012105e5/gonet/tcp/segment"
)

// pass has segments arrive without waiting until all is quiet.
func (p *peer) pass(specs ...string) {
	for _, text := range specs {
		s, err := tcptest.ParseSpec(text, p.irs, p.iss)
		if err != nil {
			p.t.Error(err)
			return
		}
		data := tcptest.Piece(s.Seq.Sub(p.irs+1), s.Seq.Sub(p.irs+1)+s.Len, 0)
		b := tcptest.Wire(s.Segment, ip.Flow{Local: p.flow.Remote, Remote: p.flow.Local}, data.Bytes())
		data.Release()
		b.Arrived = time.Now()
		p.in <- b
	}
}

// texts are n segments of ten bytes.
func texts(n int) (specs []string) {
	for i := range n {
		specs = append(specs, fmt.Sprintf("P. %d:%d(10) ack 1 win 60000", 1+10*i, 11+10*i))
	}
	return specs
}

// wantText fails unless the next n bytes that the peer has sent are read.
func (p *peer) wantText(c *Conn, n int) {
	p.t.Helper()
	got := make([]byte, n)
	want := tcptest.Piece(0, n, 0)
	defer want.Release()
	if _, err := io.ReadFull(c, got); err != nil || !bytes.Equal(got, want.Bytes()) {
		p.t.Errorf("read something else, %v", err)
	}
}

// TestMailbox: segments that come while somebody has the token are taken as soon as
// it is put back, whatever its holder did, and though nothing else happens.
func TestMailbox(t *testing.T) {
	for name, putBack := range map[string]func(c *Conn){
		"nothing has happened": func(c *Conn) { c.release() },
		"something has":        func(c *Conn) { c.put(time.Now()) },
		"a call has ended":     func(c *Conn) { c.passOn() },
	} {
		t.Run(name, func(t *testing.T) {
			withPeer(t, Config{}, func(p *peer) {
				c := p.connected()
				c.take()
				p.pass(texts(mailboxLen)...)
				synctest.Wait()
				if n := len(c.mailbox.Load().segments); n != mailboxLen {
					t.Errorf("%d segments wait, want %d", n, mailboxLen)
				}
				putBack(c)
				p.wantText(c, 10*mailboxLen)
				for p.next() != nil {
				}
			})
		})
	}
}

// TestMailboxFull: what does not fit into the mailbox waits for the token, and is
// not lost.
func TestMailboxFull(t *testing.T) {
	withPeer(t, Config{}, func(p *peer) {
		c := p.connected()
		c.take()
		const more = 10
		passed := make(chan struct{})
		go func() {
			p.pass(texts(mailboxLen + more)...)
			close(passed)
		}()
		synctest.Wait()
		if isClosed(passed) {
			t.Error("all segments have passed")
		}
		c.release()
		<-passed
		p.wantText(c, 10*(mailboxLen+more))
		if n := p.stats.InSegments.Load(); n < mailboxLen+more {
			t.Errorf("%d segments have come", n)
		}
		for p.next() != nil {
		}
	})
}

// TestMailboxOfEnded: what is in the mailbox of a connection that ends is answered
// as what belongs to no connection.
func TestMailboxOfEnded(t *testing.T) {
	withPeer(t, Config{}, func(p *peer) {
		c := p.connected()
		c.take()
		p.pass("P. 1:11(10) ack 1 win 60000")
		synctest.Wait()
		c.t.Abort(nil)
		c.t.Next(time.Now())
		c.t.Packet().Release() // the peer does not get it
		c.t.Commit(time.Now())
		b := <-c.mailbox.Load().segments
		c.settle(time.Now())
		c.mailbox.Load().segments <- b // it has come in this moment
		c.release()
		p.want("a reset", "R 1:1(0)")
	})
}

// TestTransmitQueue: connections that find the edge full wait, each once; meanwhile
// they receive, and their users are served. In the end all is sent.
func TestTransmitQueue(t *testing.T) {
	withPeer(t, Config{}, func(p *peer) {
		l := p.listen()
		var conns []*Conn
		var flows []ip.Flow
		var isses []segment.Seq
		for i := range 5 {
			p.flow = tcptest.PeerFlow(i)
			conns, flows, isses = append(conns, p.accepted(l)), append(flows, p.flow), append(isses, p.iss)
		}
		filler := 0
		for ; len(p.out) < cap(p.out); filler++ {
			p.out <- nil
		}
		for i, c := range conns {
			for range 3 {
				if _, err := c.Write([]byte("abcdefghij")); err != nil {
					t.Fatal(err)
				}
			}
			p.flow, p.iss = flows[i], isses[i]
			p.pass(texts(2)...)
			p.wantText(c, 20)
		}
		synctest.Wait()
		for i, c := range conns {
			if c.take(); !c.queued {
				t.Errorf("connection %d does not wait", i)
			}
			c.release()
		}
		for range filler {
			<-p.out
		}
		sent := map[uint16]int{}
		for s := p.next(); s != nil; s = p.next() {
			sent[s.Flow.Remote.Port] += s.Len
		}
		for i, f := range flows {
			if n := sent[f.Remote.Port]; n != 30 {
				t.Errorf("connection %d has sent %d bytes, want 30", i, n)
			}
		}
	})
}

// TestTransmitQueueReset: a connection that is reset by the peer while it waits for
// the edge tells its users at once, and is forgotten when the edge takes something.
func TestTransmitQueueReset(t *testing.T) {
	withPeer(t, Config{}, func(p *peer) {
		c := p.connected()
		filler := 0
		for ; len(p.out) < cap(p.out); filler++ {
			p.out <- nil
		}
		c.Write([]byte("abc"))
		p.pass("R. 1:1(0) ack 1")
		if _, err := c.Read(make([]byte, 1)); err == nil {
			t.Error("read")
		}
		for range filler {
			<-p.out
		}
		for p.next() != nil {
		}
		if all := p.sockets.Connections(); len(all) != 0 {
			t.Errorf("%v", all)
		}
	})
}

// TestEvents: the ends of connections that users end at the same time are all known
// to the demultiplexer; and to who dials again, at once.
func TestEvents(t *testing.T) {
	withPeer(t, Config{}, func(p *peer) {
		l := p.listen()
		var users sync.WaitGroup
		var conns []*Conn
		for i := range 50 {
			p.flow = tcptest.PeerFlow(i)
			conns = append(conns, p.accepted(l))
		}
		for _, c := range conns {
			c.SetLinger(0)
			users.Go(func() { c.Close() })
		}
		users.Wait()
		for p.next() != nil {
		}
		if all := p.sockets.Connections(); len(all) != 1 { // the listener
			t.Errorf("%d are left", len(all))
		}
	})
}
