package link

import (
	"testing"
	"testing/synctest"
	"time"

	"github.com/seed-012105e5/gonet/packet"
)

func TestLoopback(t *testing.T) {
	bubble(t, func(t *testing.T) {
		l := Loopback(0)
		if l.MTU != DefaultMTU {
			t.Errorf("MTU %d", l.MTU)
		}
		time.Sleep(time.Second)
		sent := train(t, 5000, 1000)
		l.Tx <- sent
		r := <-l.Rx
		if r != sent || r.Checksum != packet.ChecksumPartial || r.SegmentSize != 1000 || !r.Arrived.Equal(time.Now()) {
			t.Errorf("the frame has changed: %+v", r)
		}
		r.Release()

		l.Tx <- packet.From(make([]byte, 14+DefaultMTU+1))
		for range pipeLen + 5 {
			l.Tx <- packet.From(make([]byte, 60))
		}
		synctest.Wait()
		if long, full := l.Stats.DropTooLong.Load(), l.Stats.DropRxFull.Load(); long != 1 || full != 5 {
			t.Errorf("DropTooLong = %d, DropRxFull = %d", long, full)
		}
		close(l.Tx)
		if n := drain(l.Rx); n != pipeLen {
			t.Errorf("received %d", n)
		}
	})
}
