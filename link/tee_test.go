package link

import (
	"bytes"
	"errors"
	"slices"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/seed-012105e5/gonet/packet"
)

// memory is a sink that fails after some records.
type memory struct {
	records []Record
	fail    int // at which record; 0: never
	flushed atomic.Int32
}

var errFull = errors.New("memory is full")

func (m *memory) Record(r Record) error {
	if m.fail > 0 && len(m.records)+1 == m.fail {
		return errFull
	}
	r.Frame = bytes.Clone(r.Frame)
	m.records = append(m.records, r)
	return nil
}

func (m *memory) Flush() error { m.flushed.Add(1); return nil }

func TestTee(t *testing.T) {
	bubble(t, func(t *testing.T) {
		var m memory
		a, b := Pipe(PipeConfig{})
		a = Tee(a, nil, &m)
		sentAt := time.Now()
		sent := train(t, 3000, 1000)
		before := bytes.Clone(sent.Bytes())
		a.Tx <- sent
		r := <-b.Rx
		if r != sent || !bytes.Equal(r.Bytes(), before) || r.Checksum != packet.ChecksumPartial || r.SegmentSize != 1000 {
			t.Error("the frame that passed has changed")
		}
		r.Release()
		time.Sleep(time.Second)
		b.Tx <- packet.From(tcpFrame(t, 5, 7))
		arrivedAt := time.Now()
		synctest.Wait()
		time.Sleep(time.Second)
		(<-a.Rx).Release()

		synctest.Wait() // until what is due at this instant has been flushed
		flushed := m.flushed.Load()
		close(a.Tx)
		drain(a.Rx)
		if m.flushed.Load() != flushed+1 {
			t.Errorf("flushed %d times when Rx closed", m.flushed.Load()-flushed)
		}
		if len(m.records) != 2 {
			t.Fatalf("%d records", len(m.records))
		}
		first, second := m.records[0], m.records[1]
		if !first.Sent || !first.Time.Equal(sentAt) || first.SegmentSize != 1000 || first.Link != "pipe-a" {
			t.Errorf("got %+v", first)
		}
		if second.Sent || !second.Time.Equal(arrivedAt) || second.SegmentSize != 0 {
			t.Errorf("got %+v", second)
		}
		valid(t, first.Frame)
		valid(t, second.Frame)
		close(b.Tx)
	})
}

// TestTeeFlushes shows that a record is written out after a second at the latest,
// and that a link on which nothing passes costs nothing.
func TestTeeFlushes(t *testing.T) {
	bubble(t, func(t *testing.T) {
		var m memory
		a, b := Pipe(PipeConfig{})
		a = Tee(a, nil, &m)
		pass := func() {
			a.Tx <- packet.From(tcpFrame(t, 1, 7))
			(<-b.Rx).Release()
			synctest.Wait()
		}
		flushed := func(want int32, when string) {
			t.Helper()
			synctest.Wait()
			if m.flushed.Load() != want {
				t.Errorf("%s: flushed %d times, want %d", when, m.flushed.Load(), want)
			}
		}
		time.Sleep(time.Hour)
		flushed(0, "an hour without a frame")
		pass()
		time.Sleep(999 * time.Millisecond)
		pass()
		flushed(0, "before a second has passed")
		time.Sleep(time.Millisecond)
		flushed(1, "a second after the first frame")
		time.Sleep(time.Hour)
		flushed(1, "an hour later")
		pass()
		time.Sleep(time.Second)
		flushed(2, "a second after the next frame")
		both(a, b)
		flushed(3, "when Rx is closed")
	})
}

// TestTeeCompletes shows the checksum of all kinds of frames in a record.
func TestTeeCompletes(t *testing.T) {
	partial := packet.From(tcpFrame(t, 1, 100))
	makePartial(partial)
	coalesced := packet.From(tcpFrame(t, 1, 100))
	coalesced.SegmentSize, coalesced.Checksum = 50, packet.ChecksumVerified
	coalesced.Bytes()[50]++ // the checksum of its first segment
	for name, b := range map[string]*packet.Buffer{
		"complete":  packet.From(tcpFrame(t, 1, 100)),
		"partial":   partial,
		"train":     train(t, 3000, 1000),
		"coalesced": coalesced,
	} {
		var m memory
		tee := newTee(Link{}, nil, []Sink{&m})
		tee.record(b, true, time.Time{})
		b.Release()
		if len(m.records) != 1 || !sumsToZero(m.records[0].Frame) {
			t.Errorf("%s: the checksum is wrong", name)
		}
	}
	garbage := packet.From([]byte{1, 2, 3})
	garbage.SegmentSize = 7
	misplaced := packet.From([]byte{1, 2, 3})
	misplaced.SetPartial(2, 16)
	for _, b := range []*packet.Buffer{garbage, misplaced} {
		var m memory
		tee := newTee(Link{}, nil, []Sink{&m})
		tee.record(b, true, time.Time{})
		b.Release()
		if len(m.records) != 1 || !bytes.Equal(m.records[0].Frame, []byte{1, 2, 3}) {
			t.Errorf("got %v", m.records)
		}
	}
}

// TestTeeFails shows that a sink that fails is let go, and nothing else.
func TestTeeFails(t *testing.T) {
	bubble(t, func(t *testing.T) {
		first, good, never := memory{fail: 1}, memory{}, memory{fail: 3}
		var failed []error
		a, b := Pipe(PipeConfig{})
		a = Tee(a, func(err error) { failed = append(failed, err) }, &first, &good, &never)
		for i := range 10 {
			a.Tx <- packet.From(tcpFrame(t, uint32(i), 7))
		}
		close(a.Tx)
		n := drain(b.Rx)
		drain(a.Rx)
		close(b.Tx)
		if n != 10 || len(good.records) != 10 || len(first.records) != 0 || len(never.records) != 2 {
			t.Errorf("%d passed, %d, %d and %d recorded", n, len(first.records), len(good.records), len(never.records))
		}
		if !slices.Equal(failed, []error{errFull, errFull}) {
			t.Errorf("failed: %v", failed)
		}
		if first.flushed.Load()+never.flushed.Load() != 0 || good.flushed.Load() != 1 {
			t.Errorf("flushed %d, %d, %d", first.flushed.Load(), good.flushed.Load(), never.flushed.Load())
		}
	})
}

func TestTeeFailsQuietly(t *testing.T) {
	bubble(t, func(t *testing.T) {
		a, b := Pipe(PipeConfig{})
		a = Tee(a, nil, &memory{fail: 1})
		a.Tx <- packet.From(tcpFrame(t, 1, 7))
		(<-b.Rx).Release()
		both(a, b)
	})
}

// TestTeeDrains shows that an owner who does not receive can still send, and
// loses no more than the queues do not hold.
func TestTeeDrains(t *testing.T) {
	bubble(t, func(t *testing.T) {
		a, b := Pipe(PipeConfig{})
		a = Tee(a, nil)
		for range 5 * QueueLen {
			b.Tx <- packet.From(tcpFrame(t, 1, 7))
		}
		go drain(b.Rx)
		for range 5 * QueueLen {
			a.Tx <- packet.From(tcpFrame(t, 1, 7))
		}
		synctest.Wait()
		close(a.Tx)
		close(b.Tx)
		if n := drain(a.Rx); n < QueueLen {
			t.Errorf("received %d", n)
		}
	})
}

func TestTeeCarrierLost(t *testing.T) {
	bubble(t, func(t *testing.T) {
		var m memory
		a, b := Pipe(PipeConfig{})
		a = Tee(a, nil, &m)
		close(b.Tx)
		drain(a.Rx)
		if m.flushed.Load() != 1 {
			t.Errorf("flushed %d times", m.flushed.Load())
		}
		for range 3 * QueueLen {
			a.Tx <- packet.From(tcpFrame(t, 1, 7))
		}
		close(a.Tx)
		drain(b.Rx) // some may have crossed before the loss was seen
		synctest.Wait()
		if len(m.records) != 0 || m.flushed.Load() != 1 {
			t.Errorf("%d records after the flush", len(m.records))
		}
	})
}

func BenchmarkTee(b *testing.B) {
	x, y := Pipe(PipeConfig{})
	x = Tee(x, nil, Pcap(nowhere{}))
	go drain(x.Rx)
	go drain(y.Rx)
	f := tcpFrame(b, 1, 1448)
	b.SetBytes(int64(len(f)))
	b.ReportAllocs()
	for b.Loop() {
		x.Tx <- packet.From(f)
	}
	close(x.Tx)
	close(y.Tx)
}
