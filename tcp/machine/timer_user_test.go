package machine

import (
	"testing"
	"time"

	"github.com/seed-012105e5/gonet/internal/testing/tcptest"
	"github.com/seed-012105e5/gonet/tcp/segment"
)

// TestSubmissions: the oldest submission is exact to the grain, never too late
// by it, and where the queue is full never too early.
func TestSubmissions(t *testing.T) {
	var s submissions
	const step = 7 * time.Millisecond
	at := func(i int) time.Time { return tcptest.Start.Add(time.Duration(i) * step) }
	for i := range 3 * mostSubmissions {
		s.add(at(i), segment.Seq(i+1))
		if n := s.queue.Len(); n > mostSubmissions {
			t.Fatalf("%d submissions", n)
		}
	}
	for una := range 3 * mostSubmissions {
		s.acknowledged(segment.Seq(una))
		d := s.oldest().Sub(at(una))
		if una < mostSubmissions-1 && d != 0 || d < 0 {
			t.Fatalf("byte %d: %v off", una, d)
		}
	}
	if s.acknowledged(3 * mostSubmissions); !s.oldest().IsZero() {
		t.Error("something waits")
	}
	s.add(at(0), 1)
	s.add(at(0).Add(submissionGrain-1), 2)
	if s.acknowledged(1); !s.oldest().Equal(at(0)) {
		t.Error("what is within the grain is not one")
	}
}
