package link

import (
	"bytes"
	"reflect"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/gopacket"
	"github.com/google/gopacket/layers"

	"github.com/seed-012105e5/gonet/packet"
)

// both closes the two ends of a pipe, and takes what is still coming.
func both(a, b Link) {
	close(a.Tx)
	close(b.Tx)
	drain(a.Rx)
	drain(b.Rx)
}

func TestImpairDelays(t *testing.T) {
	bubble(t, func(t *testing.T) {
		a, b := Pipe(PipeConfig{})
		mac, mtu, stats := a.MAC, a.MTU, a.Stats
		a = ImpairEach(a, Impairment{Delay: 20 * time.Millisecond}, Impairment{Delay: 30 * time.Millisecond})
		if a.MAC != mac || a.MTU != mtu || a.Stats != stats {
			t.Error("the card has changed")
		}
		start := time.Now()
		a.Tx <- packet.From(tcpFrame(t, 1, 10))
		r := <-b.Rx
		if d := time.Since(start); d != 20*time.Millisecond || !r.Arrived.Equal(time.Now()) {
			t.Errorf("sent: took %v", d)
		}
		start = time.Now()
		b.Tx <- r
		r = <-a.Rx
		if d := time.Since(start); d != 30*time.Millisecond || !r.Arrived.Equal(time.Now()) {
			t.Errorf("received: took %v, arrived %v, now %v", d, r.Arrived, time.Now())
		}
		r.Release()
		both(a, b)
	})
}

// TestImpairArrived shows that a frame has arrived when it left the wire, not
// when its owner got round to it.
func TestImpairArrived(t *testing.T) {
	bubble(t, func(t *testing.T) {
		a, b := Pipe(PipeConfig{})
		a = Impair(a, Impairment{Delay: time.Second})
		due := time.Now().Add(time.Second)
		b.Tx <- packet.From(tcpFrame(t, 1, 10))
		time.Sleep(time.Minute)
		r := <-a.Rx
		if !r.Arrived.Equal(due) {
			t.Errorf("arrived %v, want %v", r.Arrived, due)
		}
		r.Release()
		both(a, b)
	})
}

// TestImpairRate sends a train through a line of 8 Mbit/s: a byte a microsecond.
func TestImpairRate(t *testing.T) {
	bubble(t, func(t *testing.T) {
		a, b := Pipe(PipeConfig{})
		a = Impair(a, Impairment{Rate: 8e6})
		a.Tx <- train(t, 10500, 1000)
		close(a.Tx)
		all := collect(b.Rx)
		if len(all) != 11 {
			t.Fatalf("%d segments", len(all))
		}
		total := time.Duration(0)
		for i, g := range all {
			total += time.Duration(len(g.frame)) * time.Microsecond
			if g.at != total {
				t.Errorf("segment %d at %v, want %v", i, g.at, total)
			}
			if g.size != 0 || g.checksum != packet.ChecksumComplete {
				t.Errorf("segment %d: size %d, checksum %d", i, g.size, g.checksum)
			}
			valid(t, g.frame)
		}
		close(b.Tx)
		drain(a.Rx)
	})
}

// TestImpairReceives shows that what is received has crossed a wire, whatever
// the device said of its checksum.
func TestImpairReceives(t *testing.T) {
	bubble(t, func(t *testing.T) {
		a, b := Pipe(PipeConfig{})
		a = ImpairEach(a, Impairment{}, Impairment{Corrupt: 1})
		partial, verified := packet.From(tcpFrame(t, 1, 100)), packet.From(tcpFrame(t, 2, 100))
		makePartial(partial)
		verified.Checksum = packet.ChecksumVerified
		b.Tx <- partial
		b.Tx <- verified
		b.Tx <- train(t, 3000, 1000)
		close(b.Tx)
		all := collect(a.Rx)
		if len(all) != 5 {
			t.Fatalf("%d frames", len(all))
		}
		for i, g := range all {
			if g.checksum != packet.ChecksumComplete || g.size != 0 || sumsToZero(g.frame) {
				t.Errorf("frame %d: nobody can tell that it is corrupt", i)
			}
		}
		close(a.Tx)
		drain(b.Rx)
	})
}

func TestImpairMalformed(t *testing.T) {
	bubble(t, func(t *testing.T) {
		a, b := Pipe(PipeConfig{})
		a = Impair(a, Impairment{})
		bad := packet.From(make([]byte, 60))
		bad.SegmentSize = 10
		a.Tx <- bad
		close(a.Tx)
		if n := drain(b.Rx); n != 0 || a.Stats.DropMalformed.Load() != 1 {
			t.Errorf("%d frames, DropMalformed = %d", n, a.Stats.DropMalformed.Load())
		}
		close(b.Tx)
		drain(a.Rx)
	})
}

// TestImpairRepeats lets two talkers talk at once over a link with everything,
// and compares two runs to the nanosecond.
func TestImpairRepeats(t *testing.T) {
	run := func(t *testing.T, seed uint64) (result [2][]got) {
		bubble(t, func(t *testing.T) {
			a, b := Pipe(PipeConfig{})
			c := everything
			c.Seed = seed
			c.Rate = 50e6
			a = c.Middleware()(a)
			done := make(chan struct{})
			for i, rx := range []<-chan *packet.Buffer{a.Rx, b.Rx} {
				go func() {
					result[i] = collect(rx)
					done <- struct{}{}
				}()
			}
			for i := range 40 {
				a.Tx <- train(t, 10000, 1448)
				b.Tx <- packet.From(tcpFrame(t, uint32(i), 900))
				time.Sleep(time.Millisecond)
			}
			time.Sleep(time.Second)
			close(a.Tx)
			close(b.Tx)
			<-done
			<-done
		})
		return result
	}
	first, again, other := run(t, 1), run(t, 1), run(t, 2)
	if len(first[0]) < 30 || len(first[1]) < 200 {
		t.Fatalf("only %d and %d frames", len(first[0]), len(first[1]))
	}
	if !reflect.DeepEqual(first, again) {
		t.Error("the same seed gives another run")
	}
	if reflect.DeepEqual(first, other) {
		t.Error("another seed gives the same run")
	}
	for _, all := range first {
		for i := range all[1:] {
			if all[i].at >= all[i+1].at {
				t.Errorf("frames %d and %d arrive at the same instant", i, i+1)
			}
		}
	}
}

func TestImpairClose(t *testing.T) {
	t.Run("frames under way still arrive", func(t *testing.T) {
		bubble(t, func(t *testing.T) {
			a, b := Pipe(PipeConfig{})
			a = Impair(a, Impairment{Delay: time.Second})
			for i := range 5 {
				a.Tx <- packet.From(tcpFrame(t, uint32(i), 10))
			}
			close(a.Tx)
			all := collect(b.Rx)
			if len(all) != 5 || all[4].at != time.Second+4 {
				t.Errorf("%d frames", len(all))
			}
			drain(a.Rx)
			close(b.Tx)
		})
	})
	t.Run("the other end closes first", func(t *testing.T) {
		bubble(t, func(t *testing.T) {
			a, b := Pipe(PipeConfig{})
			a = Impair(a, Impairment{Delay: time.Second})
			b.Tx <- packet.From(tcpFrame(t, 1, 10))
			close(b.Tx)
			if all := collect(a.Rx); len(all) != 1 || all[0].at != time.Second {
				t.Errorf("got %v", all)
			}
			for range 3 * QueueLen { // still drained, and gone at once: no time passes
				a.Tx <- packet.From(tcpFrame(t, 1, 10))
			}
			close(a.Tx)
			drain(b.Rx)
			synctest.Wait()
			if n := a.Stats.DropClosed.Load(); n != 3*QueueLen {
				t.Errorf("DropClosed = %d", n)
			}
		})
	})
	t.Run("the other end closes while frames are under way", func(t *testing.T) {
		bubble(t, func(t *testing.T) {
			a, b := Pipe(PipeConfig{})
			a = Impair(a, Impairment{Delay: time.Hour})
			for range 5 {
				a.Tx <- packet.From(tcpFrame(t, 1, 10))
			}
			synctest.Wait()
			close(a.Tx)
			time.Sleep(time.Minute)
			close(b.Tx)
			start := time.Now()
			if drain(b.Rx)+drain(a.Rx) != 0 || time.Since(start) != 0 {
				t.Errorf("it took %v", time.Since(start))
			}
			synctest.Wait()
			if n := a.Stats.DropClosed.Load(); n != 5 {
				t.Errorf("DropClosed = %d", n)
			}
		})
	})
}

// TestImpairHoldsNothingUp shows that a link whose owner does not receive
// still drains its Tx.
func TestImpairHoldsNothingUp(t *testing.T) {
	bubble(t, func(t *testing.T) {
		a, b := Pipe(PipeConfig{})
		a = Impair(a, Impairment{})
		go drain(b.Rx)
		for range 5 * QueueLen {
			b.Tx <- packet.From(tcpFrame(t, 1, 10))
		}
		for range 5 * QueueLen {
			a.Tx <- packet.From(tcpFrame(t, 1, 10))
		}
		synctest.Wait()
		close(a.Tx)
		close(b.Tx)
		drain(a.Rx)
	})
}

// TestImpairTrace shows what the fates look like together: a short
// conversation over a bad line, whose text is the same in each run.
func TestImpairTrace(t *testing.T) {
	bubble(t, func(t *testing.T) {
		var out bytes.Buffer
		a, b := Pipe(PipeConfig{Name: "bad"})
		b = Tee(b, nil, Text(&out))
		a = Impair(a, Impairment{Rate: 8e6, Delay: time.Millisecond, Loss: 0.2, Duplicate: 0.2, Reorder: 0.2, Seed: 3})
		for i := range 8 {
			a.Tx <- packet.From(serialize(t, etherTo(layers.EthernetTypeIPv4), ipOf(layers.IPProtocolUDP),
				&layers.UDP{SrcPort: 1, DstPort: 2}, gopacket.Payload(data(100*i))))
		}
		close(a.Tx)
		drain(b.Rx)
		close(b.Tx)
		drain(a.Rx)
		const want = `
00:00:00.001060000 bad-b In  IP 10.0.0.1.1 > 10.0.0.2.2: UDP, length 0
00:00:00.001202000 bad-b In  IP 10.0.0.1.1 > 10.0.0.2.2: UDP, length 100
00:00:00.002228000 bad-b In  IP 10.0.0.1.1 > 10.0.0.2.2: UDP, length 400
00:00:00.002444000 bad-b In  IP 10.0.0.1.1 > 10.0.0.2.2: UDP, length 200
00:00:00.002770000 bad-b In  IP 10.0.0.1.1 > 10.0.0.2.2: UDP, length 500
00:00:00.002770001 bad-b In  IP 10.0.0.1.1 > 10.0.0.2.2: UDP, length 500
00:00:00.004154000 bad-b In  IP 10.0.0.1.1 > 10.0.0.2.2: UDP, length 700
`
		if got := "\n" + out.String(); got != want {
			t.Errorf("got %s\nwant %s", got, want)
		}
	})
}

// BenchmarkImpair sends trains to a device that takes all. The rate is that of
// their payload.
func BenchmarkImpair(b *testing.B) {
	for name, c := range map[string]Impairment{
		"nothing": {},
		"loss":    {Loss: 0.01},
		"all":     {Rate: 1e11, Queue: 1 << 14, Delay: 100 * time.Microsecond, Jitter: 10 * time.Microsecond, Loss: 0.01, Duplicate: 0.001, Reorder: 0.001, Corrupt: 0.001},
	} {
		b.Run(name, func(b *testing.B) {
			tx, rx := make(chan *packet.Buffer, QueueLen), make(chan *packet.Buffer)
			l := Impair(Link{Tx: tx, Rx: rx, Stats: new(Stats)}, c)
			done := make(chan int)
			go func() { done <- drain(tx) }()
			first := train(b, packetMax, 1448)
			b.SetBytes(packetMax)
			b.ReportAllocs()
			for b.Loop() {
				l.Tx <- first.Clone()
			}
			close(l.Tx)
			b.ReportMetric(float64(<-done)/float64(b.N), "frames/op")
			close(rx)
			drain(l.Rx)
		})
	}
}
