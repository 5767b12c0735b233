package link

import (
	"testing"
	"testing/synctest"
	"time"

	"github.com/seed-012105e5/gonet/packet"
)

// TestCable sends a train one way, and has the answer take another time.
func TestCable(t *testing.T) {
	bubble(t, func(t *testing.T) {
		const ms = time.Millisecond
		a, b := Cable(PipeConfig{Name: "wire"}, Impairment{Delay: 20 * ms}, Impairment{Delay: 30 * ms})
		if a.Name != "wire-a" || b.Name != "wire-b" || a.MTU != DefaultMTU || a.MAC == b.MAC {
			t.Errorf("%+v and %+v", a, b)
		}
		start := time.Now()
		a.Tx <- train(t, 3000, 1000)
		for i := range 3 {
			r := <-b.Rx
			if d := time.Since(start); d != 20*ms+time.Duration(i) || !r.Arrived.Equal(time.Now()) || r.SegmentSize != 0 {
				t.Errorf("segment %d came after %v", i, d)
			}
			valid(t, r.Bytes())
			r.Release()
		}
		start = time.Now()
		b.Tx <- packet.From(tcpFrame(t, 1, 10))
		(<-a.Rx).Release()
		if d := time.Since(start); d != 30*ms {
			t.Errorf("the answer took %v", d)
		}
		a.Tx <- packet.Get(0)
		long := packet.Get(DefaultMTU + ethernetLen + 1)
		long.Extend(DefaultMTU + ethernetLen + 1)
		a.Tx <- long
		time.Sleep(time.Second)
		(<-b.Rx).Release()
		if n, m := a.Stats.TxFrames.Load(), b.Stats.RxFrames.Load(); n != 4 || m != 4 || a.Stats.DropTooLong.Load() != 1 {
			t.Errorf("%d frames sent, %d received, %d too long", n, m, a.Stats.DropTooLong.Load())
		}
		both(a, b)
	})
}

// TestCableCloses closes one end while frames are under way in both directions.
func TestCableCloses(t *testing.T) {
	bubble(t, func(t *testing.T) {
		c := Impairment{Rate: 8e6, Delay: time.Second}
		a, b := Cable(PipeConfig{}, c, c)
		for range 5 {
			a.Tx <- packet.From(tcpFrame(t, 1, 10))
			b.Tx <- packet.From(tcpFrame(t, 1, 10))
		}
		synctest.Wait()
		start := time.Now()
		close(a.Tx)
		if n := drain(a.Rx); n != 0 || time.Since(start) != 0 {
			t.Errorf("the end that was closed got %d frames in %v", n, time.Since(start))
		}
		b.Tx <- packet.From(tcpFrame(t, 1, 10))
		if n := drain(b.Rx); n != 5 {
			t.Errorf("the other end got %d frames", n)
		}
		close(b.Tx)
		synctest.Wait()
		if n := b.Stats.DropClosed.Load(); n != 6 {
			t.Errorf("DropClosed = %d", n)
		}
	})
}

// TestCycle shows that frames arrive at instants of their Phase only, however
// close they follow each other and whenever the link was made.
func TestCycle(t *testing.T) {
	bubble(t, func(t *testing.T) {
		time.Sleep(12345)
		c := Impairment{Rate: 1e9, Delay: 777, Jitter: 50, Cycle: 1009, Phase: 17}
		a, b := Cable(PipeConfig{}, c, c)
		for range 50 {
			a.Tx <- packet.From(tcpFrame(t, 1, 10))
		}
		close(a.Tx)
		all := collect(b.Rx)
		if len(all) != 50 {
			t.Fatalf("%d frames", len(all))
		}
		for i, g := range all {
			if phase := g.arrived.UnixNano() % 1009; phase != 17 {
				t.Errorf("frame %d arrived at phase %d", i, phase)
			}
			if i > 0 && !g.arrived.After(all[i-1].arrived) {
				t.Errorf("frame %d arrived with the one before", i)
			}
		}
		drain(a.Rx)
		close(b.Tx)
	})
}
