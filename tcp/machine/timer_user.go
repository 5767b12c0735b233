package machine

import (
	"syscall"
	"time"

	"github.com/seed-012105e5/gonet/internal/ring"
	"github.com/seed-012105e5/gonet/tcp/segment"
)

// submissions say when what waits was submitted by the user: SYN, text and FIN
// that the peer has not acknowledged, be they sent or not. The user timeout
// counts from there (RFC 9293 section 3.9.1.1, SEND).
type submissions struct{ queue ring.Queue[submission] }

// A submission is what was submitted at one time, up to the sequence number end.
type submission struct {
	end segment.Seq
	at  time.Time
}

// submissionGrain is how much time counts as one: by so much the user timeout
// may come too early.
const submissionGrain = 5 * time.Millisecond

// mostSubmissions bounds the queue. What is submitted while it is full counts
// as one with what follows, so that nothing times out too early.
const mostSubmissions = 1024

// add notes that all up to end has been submitted by now.
func (s *submissions) add(now time.Time, end segment.Seq) {
	if n := s.queue.Len(); n > 0 {
		last := s.queue.At(n - 1)
		if recent := now.Sub(last.at) < submissionGrain; recent || n == mostSubmissions {
			last.end = end
			if !recent {
				last.at = now
			}
			return
		}
	}
	s.queue.Push(submission{end, now})
}

// acknowledged forgets what lies before una.
func (s *submissions) acknowledged(una segment.Seq) {
	for s.queue.Len() > 0 && !s.queue.At(0).end.After(una) {
		s.queue.Pop()
	}
}

// oldest is when the oldest was submitted; zero when nothing waits.
func (s *submissions) oldest() time.Time {
	if s.queue.Len() == 0 {
		return time.Time{}
	}
	return s.queue.At(0).at
}

// submitted notes that the user has just submitted something.
func (t *TCB) submitted(now time.Time) {
	end := t.sendq.end()
	if t.finQueued {
		end++
	}
	t.waiting.add(now, end)
}

// giveUpAt is when the connection is given up, because the peer does not answer
// (R2 of section 3.8.3, MUST-20), or has not taken in time what the user has
// submitted; zero as long as nothing threatens.
func (t *TCB) giveUpAt() time.Time {
	since, limit := t.failingSince, t.opts.UserTimeout
	switch {
	case !t.state.synchronized():
		since, limit = t.waiting.oldest(), t.cfg.ConnectTimeout // MUST-23
	case limit > 0:
		since = t.waiting.oldest()
	default:
		limit = t.cfg.UserTimeout
	}
	if since.IsZero() || t.state == Closed {
		return time.Time{}
	}
	return since.Add(limit)
}

// giveUp ends the connection. The peer is told: it may be there after all.
func (t *TCB) giveUp() {
	err := t.softErr
	if err == nil {
		err = syscall.ETIMEDOUT
	}
	t.Abort(err)
}
