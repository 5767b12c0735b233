package link

import (
	"bytes"
	"testing"
	"testing/synctest"
	"time"

	"github.com/seed-012105e5/gonet/packet"
)

func TestPipeCarries(t *testing.T) {
	bubble(t, func(t *testing.T) {
		a, b := Pipe(PipeConfig{})
		if a.MTU != 1500 || b.MTU != 1500 || a.MAC == b.MAC || a.MAC[0]&3 != 2 || b.MAC[0]&3 != 2 {
			t.Errorf("defaults: %+v %+v", a, b)
		}
		time.Sleep(time.Second)
		sent := train(t, 30000, 1000)
		want := bytes.Clone(sent.Bytes())
		a.Tx <- sent
		r := <-b.Rx
		if r != sent || !bytes.Equal(r.Bytes(), want) || r.SegmentSize != 1000 || r.Checksum != packet.ChecksumPartial {
			t.Errorf("the train has changed: size %d, checksum %d", r.SegmentSize, r.Checksum)
		}
		if !r.Arrived.Equal(time.Now()) {
			t.Errorf("arrived %v, now %v", r.Arrived, time.Now())
		}
		b.Tx <- r
		(<-a.Rx).Release()
		for i, s := range []*Stats{a.Stats, b.Stats} {
			if n, bytes := s.TxFrames.Load(), s.TxBytes.Load(); n != 1 || bytes != uint64(len(want)) {
				t.Errorf("end %d sent %d frames, %d bytes", i, n, bytes)
			}
			if n, bytes := s.RxFrames.Load(), s.RxBytes.Load(); n != 1 || bytes != uint64(len(want)) {
				t.Errorf("end %d received %d frames, %d bytes", i, n, bytes)
			}
		}
		close(a.Tx)
		close(b.Tx)
		drain(a.Rx)
		drain(b.Rx)
	})
}

func TestPipeConfig(t *testing.T) {
	bubble(t, func(t *testing.T) {
		macs := [2][6]byte{{2, 1}, {2, 2}}
		a, b := Pipe(PipeConfig{Name: "x", MTU: 9000, MACs: macs})
		if a.Name != "x-a" || b.Name != "x-b" || a.MTU != 9000 || b.MTU != 9000 || a.MAC != macs[0] || b.MAC != macs[1] {
			t.Errorf("got %+v %+v", a, b)
		}
		close(a.Tx)
		close(b.Tx)
	})
}

func TestPipeTooLong(t *testing.T) {
	bubble(t, func(t *testing.T) {
		a, b := Pipe(PipeConfig{MTU: 1000})
		a.Tx <- packet.From(make([]byte, 14+1001))
		a.Tx <- packet.From(make([]byte, 14+1000))
		close(a.Tx)
		if all := collect(b.Rx); len(all) != 1 || len(all[0].frame) != 1014 {
			t.Errorf("%d frames got through", len(all))
		}
		if n := a.Stats.DropTooLong.Load(); n != 1 {
			t.Errorf("DropTooLong = %d", n)
		}
		close(b.Tx)
	})
}

// TestPipeFull shows that an owner who does not receive does not hold up the
// one who sends.
func TestPipeFull(t *testing.T) {
	bubble(t, func(t *testing.T) {
		a, b := Pipe(PipeConfig{})
		for i := range 3 * pipeLen {
			a.Tx <- packet.From(tcpFrame(t, uint32(i), 1))
		}
		synctest.Wait()
		if n := b.Stats.DropRxFull.Load(); n != 2*pipeLen {
			t.Errorf("DropRxFull = %d, want %d", n, 2*pipeLen)
		}
		close(a.Tx)
		for i, g := range collect(b.Rx) {
			if _, tcp := valid(t, g.frame); tcp.Seq != uint32(i) {
				t.Errorf("frame %d has seq %d", i, tcp.Seq)
			}
		}
		close(b.Tx)
	})
}

func closed(rx <-chan *packet.Buffer) bool {
	select {
	case _, ok := <-rx:
		return !ok
	default:
		return false
	}
}

func TestPipeClose(t *testing.T) {
	t.Run("closing one end closes the Rx of both", func(t *testing.T) {
		bubble(t, func(t *testing.T) {
			a, b := Pipe(PipeConfig{})
			if synctest.Wait(); closed(a.Rx) || closed(b.Rx) {
				t.Error("closed from the first")
			}
			close(a.Tx)
			if synctest.Wait(); !closed(a.Rx) || !closed(b.Rx) {
				t.Error("not closed")
			}
			for range 3 * pipeLen { // blocks for ever if it is not drained
				b.Tx <- packet.From(make([]byte, 60))
			}
			close(b.Tx)
			synctest.Wait()
			if n := b.Stats.DropClosed.Load(); n != 3*pipeLen {
				t.Errorf("DropClosed = %d", n)
			}
		})
	})
	t.Run("what was sent before the end arrives", func(t *testing.T) {
		bubble(t, func(t *testing.T) {
			a, b := Pipe(PipeConfig{})
			for range pipeLen {
				a.Tx <- packet.From(make([]byte, 60))
			}
			close(a.Tx)
			synctest.Wait()
			if n := drain(b.Rx); n != pipeLen {
				t.Errorf("%d frames arrived", n)
			}
			close(b.Tx)
		})
	})
	t.Run("both at once", func(t *testing.T) {
		bubble(t, func(t *testing.T) {
			a, b := Pipe(PipeConfig{})
			close(a.Tx)
			close(b.Tx)
			if synctest.Wait(); !closed(a.Rx) || !closed(b.Rx) {
				t.Error("not closed")
			}
		})
	})
}

func BenchmarkPipe(b *testing.B) {
	x, y := Pipe(PipeConfig{})
	go drain(x.Rx)
	n := make(chan int)
	go func() { n <- drain(y.Rx) }()
	f := tcpFrame(b, 1, 1448)
	b.SetBytes(int64(len(f)))
	b.ReportAllocs()
	for b.Loop() {
		x.Tx <- packet.From(f)
	}
	close(x.Tx)
	close(y.Tx)
	b.ReportMetric(100*float64(<-n)/float64(b.N), "%-received")
}
