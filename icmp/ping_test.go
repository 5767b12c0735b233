package icmp

import (
	"context"
	"errors"
	"math/rand/v2"
	"net"
	"net/netip"
	"sync"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"github.com/seed-012105e5/gonet/edge"
	"github.com/seed-012105e5/gonet/ip"
	"github.com/seed-012105e5/gonet/ipv4"
	"github.com/seed-012105e5/gonet/packet"
)

type outcome struct {
	reply PingReply
	err   error
}

// ping pings in a goroutine of its own.
func (r *rig) ping(ctx context.Context, dst netip.Addr, opts PingOptions) <-chan outcome {
	c := make(chan outcome, 1)
	go func() {
		reply, err := r.pinger.Ping(ctx, dst, opts)
		c <- outcome{reply, err}
	}()
	return c
}

// answer makes of an echo request the reply that comes back, from another.
func answer(t testing.TB, b *packet.Buffer, from netip.Addr) *packet.Buffer {
	deliver(t, b)
	h := ipv4.Header(b.Network())
	m := Message(b.Bytes())
	defer b.Release()
	return message(t, ipv4.Fields{Src: from, Dst: h.Src(), TTL: 61}, TypeEchoReply, 0, m.Value(), m.Data())
}

// RFC1122-3.2.2.6-2, RFC1122-3.2.2.6-5: replies are passed to the asker. The time is that of arrival at the
// link, and not of what the stack takes after it.
func TestPing(t *testing.T) {
	bubble(t, func(t *testing.T) {
		r := run(t, testConfig(t))
		got := r.ping(t.Context(), far, PingOptions{Size: 100, TTL: 9, DF: true})
		b := r.want(t)
		network, icmp := decode(t, b)
		if network.TTL != 9 || network.Flags.String() != "DF" || len(icmp.Payload) != 100 || !network.SrcIP.Equal(self.AsSlice()) || icmp.TypeCode.Type() != TypeEcho {
			t.Errorf("sent %v %v", network, icmp)
		}
		time.Sleep(30 * time.Millisecond)
		reply := answer(t, b, far)
		time.Sleep(time.Second)
		r.in <- reply
		want := PingReply{RTT: 30 * time.Millisecond, TTL: 61, From: far, Size: 100}
		if o := <-got; o.err != nil || o.reply != want {
			t.Errorf("%+v, want %+v", o, want)
		}
	})
}

// Replies that nobody waits for, from another host, or twice, are dropped.
func TestPingStrays(t *testing.T) {
	bubble(t, func(t *testing.T) {
		r := run(t, testConfig(t))
		got := r.ping(t.Context(), far, PingOptions{})
		b := r.want(t)
		m := Message(b.Bytes()[ipv4.MinHeaderLen:])
		stray := func(src netip.Addr, value uint32) {
			r.in <- message(t, ipv4.Fields{Src: src, Dst: self}, TypeEchoReply, 0, value, nil)
		}
		stray(peer, m.Value())
		stray(far, m.Value()+1)
		stray(far, m.Value()+0x10000)
		synctest.Wait()
		if len(got) > 0 || r.stats.DropStrayReply.Load() != 3 {
			t.Errorf("a stray reply was taken: %d dropped", r.stats.DropStrayReply.Load())
		}
		right := answer(t, b, far)
		again := right.Clone()
		r.in <- right
		r.in <- again
		synctest.Wait()
		if o := <-got; o.err != nil || r.stats.DropStrayReply.Load() != 4 {
			t.Errorf("%+v; %d dropped", o, r.stats.DropStrayReply.Load())
		}
	})
}

// Anybody may answer for a group.
func TestPingGroup(t *testing.T) {
	bubble(t, func(t *testing.T) {
		r := run(t, testConfig(t))
		for _, test := range []struct {
			dst string
			ttl uint8
		}{{"10.0.0.255", ipv4.DefaultTTL}, {"224.0.0.1", 1}} {
			got := r.ping(t.Context(), netip.MustParseAddr(test.dst), PingOptions{})
			b := r.want(t)
			if h := ipv4.Header(b.Bytes()); h.TTL() != test.ttl {
				t.Errorf("TTL %d to %s", h.TTL(), test.dst)
			}
			r.in <- answer(t, b, peer)
			if o := <-got; o.err != nil || o.reply.From != peer {
				t.Errorf("%+v", o)
			}
		}
	})
}

// An ICMP error about the echo comes back as the error: from far away, and
// found here.
func TestPingErrors(t *testing.T) {
	bubble(t, func(t *testing.T) {
		r := run(t, testConfig(t))
		got := r.ping(t.Context(), far, PingOptions{TTL: 1})
		b := r.want(t)
		r.in <- message(t, ipv4.Fields{Src: gateway, Dst: self}, ip.TypeTimeExceeded, 0, 0, b.Bytes()[:28])
		b.Release()
		o := <-got
		var e *Error
		if !errors.Is(o.err, syscall.EHOSTUNREACH) || !errors.As(o.err, &e) || e.From != gateway || e.Type != ip.TypeTimeExceeded {
			t.Errorf("%v", o.err)
		}
		if want := "ping ip4:icmp 192.0.2.7: 10.0.0.1 says time exceeded (code 0)"; o.err.Error() != want {
			t.Errorf("%q, want %q", o.err, want)
		}

		got = r.ping(t.Context(), far, PingOptions{DF: true, Size: 3000})
		r.requests.Send(ip.ErrorRequest{Type: 3, Code: 4, Value: 1500, Packet: r.want(t)})
		if o := <-got; !errors.Is(o.err, syscall.EMSGSIZE) {
			t.Errorf("%v", o.err)
		}

		// an error about our reply to another's echo with the same name is none of ours
		got = r.ping(t.Context(), far, PingOptions{})
		b = r.want(t)
		sent := append([]byte(nil), b.Bytes()[:28]...)
		sent[20] = TypeEchoReply
		r.in <- message(t, ipv4.Fields{Src: gateway, Dst: self}, 3, 1, 0, sent)
		synctest.Wait()
		if len(got) > 0 {
			t.Error("a ping has heard of another's error")
		}
		r.in <- answer(t, b, far)
		<-got
	})
}

// Refused before anything is sent.
func TestPingRefused(t *testing.T) {
	bubble(t, func(t *testing.T) {
		table, _ := ip.NewTable([]ip.Interface{{Addrs: []netip.Prefix{netip.PrefixFrom(self, 24)}}}, nil)
		r := run(t, Config{Table: ip.Publish(table), Random: func() uint64 { return 5 }, MaxPings: 2})
		canceled, cancel := context.WithCancel(t.Context())
		cancel()
		for _, test := range []struct {
			name string
			ctx  context.Context
			dst  string
			opts PingOptions
			want error
		}{
			{"no route", t.Context(), "192.0.2.7", PingOptions{}, syscall.ENETUNREACH},
			{"too large", t.Context(), "10.0.0.9", PingOptions{Size: MaxPingSize + 1}, syscall.EMSGSIZE},
			{"negative", t.Context(), "10.0.0.9", PingOptions{Size: -1}, syscall.EMSGSIZE},
			{"IPv6", t.Context(), "2001:db8::1", PingOptions{}, syscall.EINVAL},
			{"unspecified", t.Context(), "0.0.0.0", PingOptions{}, syscall.EINVAL},
			{"canceled", canceled, "10.0.0.9", PingOptions{}, context.Canceled},
		} {
			_, err := r.pinger.Ping(test.ctx, netip.MustParseAddr(test.dst), test.opts)
			var op *net.OpError
			if !errors.Is(err, test.want) || !errors.As(err, &op) || op.Op != "ping" {
				t.Errorf("%s: %v, want %v", test.name, err, test.want)
			}
		}

		// the table of pings is bounded, and room comes back with the end of one
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		first := r.ping(ctx, peer, PingOptions{})
		r.want(t).Release()
		second := r.ping(ctx, peer, PingOptions{})
		r.want(t).Release()
		if o := <-r.ping(ctx, peer, PingOptions{}); !errors.Is(o.err, syscall.ENOBUFS) {
			t.Errorf("a third: %v", o.err)
		}
		for _, c := range []<-chan outcome{first, second} {
			if o := <-c; !errors.Is(o.err, context.DeadlineExceeded) || !o.err.(net.Error).Timeout() {
				t.Errorf("%v", o.err)
			}
		}
		third := r.ping(t.Context(), peer, PingOptions{})
		r.in <- answer(t, r.want(t), peer)
		if o := <-third; o.err != nil {
			t.Errorf("after the others: %v", o.err)
		}
	})
}

func TestPingTxFull(t *testing.T) {
	bubble(t, func(t *testing.T) {
		r := run(t, testConfig(t))
		for range cap(r.tx) {
			r.in <- message(t, ipv4.Fields{Src: peer, Dst: self}, TypeEcho, 0, 7, nil)
		}
		if o := <-r.ping(t.Context(), peer, PingOptions{}); !errors.Is(o.err, syscall.ENOBUFS) {
			t.Errorf("%v", o.err)
		}
		for range cap(r.tx) {
			r.want(t).Release()
		}
	})
}

// The end of the stack ends pings that wait, and those to come.
func TestPingEnd(t *testing.T) {
	bubble(t, func(t *testing.T) {
		pings, ended := make(chan Ping), make(chan struct{})
		p := NewPinger(edge.To(pings).Out(), ended)
		waits := make(chan error, 1)
		go func() {
			_, err := p.Ping(t.Context(), peer, PingOptions{})
			waits <- err
		}()
		<-pings
		close(ended)
		if err := <-waits; !errors.Is(err, net.ErrClosed) {
			t.Errorf("%v", err)
		}
		if _, err := p.Ping(t.Context(), peer, PingOptions{}); !errors.Is(err, net.ErrClosed) {
			t.Errorf("%v", err)
		}
	})
}

// Many pings at a time, to an own address: the datagrams loop, as ipv4.Tx and
// Rx let them.
func TestPingSelf(t *testing.T) {
	bubble(t, func(t *testing.T) {
		cfg := testConfig(t)
		live := packet.Live()
		in, tx := make(chan *packet.Buffer, 200), make(chan *packet.Buffer, 200)
		inbox, ended := edge.InboxOf(in), make(chan struct{})
		pings := edge.New[Ping](1, inbox)
		stats := &Stats{}
		go func() {
			defer close(ended)
			Run(inbox, edge.In[*packet.Buffer]{}, edge.In[ip.ErrorRequest]{}, pings.In(), ip.Edges{Loop: edge.To(tx).Out()}, edge.Out[ip.ICMPError]{}, edge.Out[ip.ICMPError]{}, nil, cfg, stats)
		}()
		go func() {
			defer inbox.Close()
			for b := range tx {
				b.Link = -1
				in <- deliver(t, b)
			}
		}()
		p := NewPinger(pings.Out(), ended)
		var all sync.WaitGroup
		for i := range 100 {
			all.Go(func() {
				dst := []string{"127.0.0.1", "10.0.0.2", "127.9.9.9"}[i%3]
				got, err := p.Ping(t.Context(), netip.MustParseAddr(dst), PingOptions{Size: i})
				if err != nil || got.Size != i || got.From.String() != dst {
					t.Errorf("%s, %d bytes: %+v, %v", dst, i, got, err)
				}
			})
		}
		all.Wait()
		if stats.TxReplies.Load() != 100 || stats.RxReplies.Load() != 100 {
			t.Errorf("stats %+v", stats)
		}
		close(tx)
		<-ended
		if n := packet.Live() - live; n != 0 {
			t.Errorf("%d buffers not released", n)
		}
	})
}

// No two pings that wait have the same name, even if chance wants it, and what
// others get tells nothing of the next.
func TestPingTable(t *testing.T) {
	table := newPingTable(func() uint64 { return 0xffff }, 1024)
	var all [1024]*echo
	for i := range all {
		all[i] = &echo{}
		if !table.add(all[i]) {
			t.Fatalf("no room for ping %d", i)
		}
	}
	if table.add(&echo{}) {
		t.Error("room for one too many")
	}
	table.remove(all[100])
	e := &echo{}
	if !table.add(e) || len(table.waiting) != 1024 || table.waiting[e.name] != e {
		t.Errorf("got %+v", e)
	}
	table.remove(all[100]) // again, after its number has gone to another
	if table.add(&echo{}) {
		t.Error("the number of a ping in use was freed")
	}
}

// Names of pings in a row are unrelated: of 1000, in about 3 the identifier
// or the sequence number is less than 50 from the one before; in 30 or more it is
// less than once in 10^15 runs.
func TestPingNames(t *testing.T) {
	table := newPingTable(rand.New(rand.NewPCG(1, 2)).Uint64, 1<<20)
	near, before := 0, echoName{}
	for range 1000 {
		e := &echo{}
		table.add(e)
		id, seq := e.name.id-before.id, e.name.seq-before.seq
		if min(id, -id) < 50 || min(seq, -seq) < 50 {
			near++
		}
		before = e.name
	}
	if near >= 30 {
		t.Errorf("%d of 1000 are near the one before", near)
	}
}
