package stack

import (
	"bytes"
	"io"
	"net/netip"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/seed-012105e5/gonet/link"
	"github.com/seed-012105e5/gonet/tcp"
)

// trace is what passes a's card during a simple exchange over a link with
// delay and loss. No two goroutines act on one connection at the same instant,
// for which comes first is chance.
func trace(t *testing.T) string {
	var text bytes.Buffer
	inBubble(t, func(t *testing.T) {
		impair := link.Impairment{Rate: 10e6, Delay: 5 * time.Millisecond, Loss: 0.03, Seed: 4}
		tee := func(l link.Link) link.Link { return link.Tee(l, nil, link.Text(&text)) }
		p := newPair(t, impair.Middleware(), tee)
		defer p.close()
		time.Sleep(time.Second)
		ca, cb := p.connect(t)
		talk(t, ca, cb)
		talk(t, cb, ca)
		ca.Close()
		cb.Close()
		time.Sleep(time.Minute)
		if _, err := p.a.Ping(t.Context(), netip.MustParseAddr("10.0.0.2")); err != nil {
			t.Error(err)
		}
	})
	return text.String()
}

// talk sends some bytes one way, and the end of the stream behind them.
func talk(t *testing.T, from, to *tcp.Conn) {
	const n = 50_000
	time.Sleep(time.Second)
	from.Write(payload(n))
	time.Sleep(time.Second)
	from.CloseWrite()
	if m, err := io.Copy(io.Discard, to); m != n || err != nil {
		t.Errorf("%d bytes came, %v", m, err)
	}
}

// The same seeds and the same link give the same run, to the nanosecond.
func TestRepeatable(t *testing.T) {
	first := trace(t)
	if n := strings.Count(first, "\n"); n < 50 {
		t.Fatalf("a trace of %d lines", n)
	}
	for range 5 {
		again := strings.Split(trace(t), "\n")
		for i, line := range strings.Split(first, "\n") {
			if i >= len(again) || again[i] != line {
				t.Fatalf("line %d was\n%s\nand is now\n%s", i+1, line, again[min(i, len(again)-1)])
			}
		}
	}
}

func TestInfo(t *testing.T) {
	inBubble(t, func(t *testing.T) {
		impair := link.Impairment{Rate: 100e6, Delay: 10 * time.Millisecond}
		p := newPair(t, impair.Middleware())
		defer p.close()
		ca, cb := p.connect(t)
		if ca.LocalAddr().String() != cb.RemoteAddr().String() || ca.RemoteAddr().String() != cb.LocalAddr().String() ||
			ca.LocalAddr().Network() != "tcp" {
			t.Errorf("%v -> %v and %v -> %v", ca.LocalAddr(), ca.RemoteAddr(), cb.LocalAddr(), cb.RemoteAddr())
		}
		ca.Write(payload(20_000))
		time.Sleep(time.Second)
		i := ca.Info()
		if i.State != tcp.Established || i.Local.String() != ca.LocalAddr().String() || i.Remote.String() != ca.RemoteAddr().String() {
			t.Errorf("%v -> %v %v", i.Local, i.Remote, i.State)
		}
		if i.MinRTT < 20*time.Millisecond || i.RTT < i.MinRTT || i.RTT > 100*time.Millisecond || i.RTO < i.RTT {
			t.Errorf("RTT %v, at least %v, RTO %v; the link takes 20 ms", i.RTT, i.MinRTT, i.RTO)
		}
		if i.SendMSS != 1500-20-32 || i.PathMTU != 1500 || !i.SACK || !i.Timestamps {
			t.Errorf("%+v", i)
		}
		if i.Unacked != 0 || i.SendQueue != 0 || cb.Info().ReceiveQueue != 20_000 {
			t.Errorf("unacknowledged %d, to be sent %d, to be read %d", i.Unacked, i.SendQueue, cb.Info().ReceiveQueue)
		}
		ca.Close()
		if s := ca.Info().State; s != tcp.FinWait1 {
			t.Errorf("after Close: %v", s)
		}
		io.Copy(io.Discard, cb)
		cb.Close()
		time.Sleep(time.Second)
		if s := cb.Info().State; s != tcp.Closed {
			t.Errorf("after the end: %v", s)
		}
		synctest.Wait()
		infos := p.a.Connections()
		if len(infos) != 1 || infos[0].State != tcp.TimeWait || infos[0].Local != i.Local || infos[0].Remote != i.Remote {
			t.Errorf("%+v", infos)
		}
	})
}
