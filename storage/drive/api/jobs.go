package api

import (
	"context"
	"slices"
	"sync/atomic"
)

// maxJobs bounds the jobs that there are; of those that have ended the oldest goes for one
// more.
const maxJobs = 64

// A job is what goes on when the client that began it has gone.
type job struct {
	number      int64
	kind, image string
	user        string
	size, done  atomic.Int64
	cancel      context.CancelFunc
	ended       chan struct{} // closed at the end
	err         error         // then it says how
}

type jobJSON struct {
	Kind   string            `json:"kind"`
	Image  string            `json:"image"`
	User   string            `json:"user"`
	Size   int64             `json:"size"`
	Done   int64             `json:"done"`
	Active bool              `json:"active"`
	Error  map[string]string `json:"error,omitempty"` // how it failed
}

// jobs are the jobs of a server. Whoever takes the table from the channel owns it until he
// puts it back.
type jobs struct{ table chan *jobTable }

type jobTable struct {
	all    []*job // the oldest first
	last   int64
	closed bool
}

func newJobs() *jobs {
	j := &jobs{make(chan *jobTable, 1)}
	j.table <- &jobTable{}
	return j
}

// start has work run in the background.
func (j *jobs) start(user, kind, image string, work func(ctx context.Context, j *job) error) (*job, error) {
	t := <-j.table
	defer func() { j.table <- t }()
	if t.closed {
		return nil, errUnavailable
	}
	if len(t.all) >= maxJobs {
		old := -1
		for i, b := range t.all {
			select {
			case <-b.ended:
				old = i
			default:
				continue
			}
			break
		}
		if old < 0 {
			return nil, errUnavailable
		}
		t.all = append(t.all[:old], t.all[old+1:]...)
	}
	t.last++
	ctx, cancel := context.WithCancel(context.Background())
	b := &job{number: t.last, kind: kind, image: image, user: user, cancel: cancel, ended: make(chan struct{})}
	t.all = append(t.all, b)
	go func() {
		defer cancel()
		b.err = work(ctx, b)
		close(b.ended)
	}()
	return b, nil
}

// close ends all jobs and waits for them.
func (j *jobs) close() {
	t := <-j.table
	t.closed = true
	all := slices.Clone(t.all)
	j.table <- t
	for _, b := range all {
		b.cancel()
		<-b.ended
	}
}

func (b *job) json() jobJSON {
	v := jobJSON{Kind: b.kind, Image: b.image, User: b.user, Size: b.size.Load(), Done: b.done.Load(), Active: true}
	select {
	case <-b.ended:
		v.Active = false
		if b.err != nil {
			v.Error = failure(b.err)
		}
	default:
	}
	return v
}

// list is a picture of all jobs, by number.
func (j *jobs) list() map[int64]jobJSON {
	t := <-j.table
	defer func() { j.table <- t }()
	all := map[int64]jobJSON{}
	for _, b := range t.all {
		all[b.number] = b.json()
	}
	return all
}

func (s *Server) listJobs(*request) (any, error) {
	return map[string]any{"jobs": s.jobs.list()}, nil
}

func (s *Server) cancelJob(r *request) (any, error) {
	t := <-s.jobs.table
	all := slices.Clone(t.all)
	s.jobs.table <- t
	for _, b := range all {
		if b.number == r.ints["job"] {
			b.cancel()
			select {
			case <-b.ended:
				return nil, nil
			case <-r.context().Done():
				return nil, r.context().Err()
			}
		}
	}
	return nil, badField("job", "there is no job %d", r.ints["job"])
}

// checksum finds out the checksum of an image in the background.
func (s *Server) checksum(r *request) (any, error) {
	name := r.names["image"]
	f, err := s.config.Store.Read(name)
	if err != nil {
		return nil, err
	}
	b, err := s.jobs.start(r.user, "checksum", name, func(ctx context.Context, b *job) error {
		defer f.Close()
		b.size.Store(f.Image.Size)
		return f.Checksum(ctx, func(done int64) { b.done.Store(done) })
	})
	if err != nil {
		f.Close()
		return nil, err
	}
	return map[string]any{"job": b.number}, nil
}
