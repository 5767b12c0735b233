package s3

import (
	"math/rand/v2"
	"slices"
	"time"
)

// A jobKind is what a job does.
type jobKind int

const (
	jobFetch    jobKind = iota // gets a chunk
	jobChunk                   // puts a chunk
	jobPage                    // puts a page of the index
	jobManifest                // replaces the manifest
	jobRemove                  // deletes an object that nothing names any more
	jobList                    // asks for names of objects
)

// A job is one thing to be done in the bucket. It belongs to the owner of the disk
// until it is given to a worker, and again when that has given it back.
type job struct {
	kind      jobKind
	number    int64 // of the chunk or page
	entry     entry // the object, and its sum
	key       string
	data      []byte
	expect    manifest    // what jobManifest writes
	etag      string      // of what jobManifest replaces, and then of what it has written
	publishes *checkpoint // of jobManifest: or nil
	after     string      // of jobList: names after that one
	keys      []string    // of jobList: some names
	began     time.Time
	retries   int
	due       time.Time
	err       error
}

// A schedule is jobs that wait for a worker, or for the time of their next attempt.
type schedule struct {
	rand  *rand.Rand
	ready []*job
	later []*job // the earliest first
}

const (
	firstPause = 100 * time.Millisecond
	mostPause  = 5 * time.Second
)

func (s *schedule) add(j *job) { s.ready = append(s.ready, j) }

// addFirst adds a job that goes before all others.
func (s *schedule) addFirst(j *job) { s.ready = slices.Insert(s.ready, 0, j) }

// len is how many jobs there are.
func (s *schedule) len() int { return len(s.ready) + len(s.later) }

// next is the job that a worker should do next, or nil.
func (s *schedule) next() *job {
	if len(s.ready) == 0 {
		return nil
	}
	return s.ready[0]
}

// taken notes that a worker has the job that next returned.
func (s *schedule) taken() {
	s.ready[0] = nil
	s.ready = s.ready[1:]
}

// retry has the job done again, after a pause that is twice as long each time, from
// 100 ms to 5 s, and between half of that and all of it.
func (s *schedule) retry(j *job, now time.Time) {
	pause := min(firstPause<<min(j.retries, 10), mostPause)
	pause = pause/2 + time.Duration(s.rand.Int64N(int64(pause/2)))
	j.retries++
	j.due = now.Add(pause)
	i, _ := slices.BinarySearchFunc(s.later, j.due, func(e *job, due time.Time) int {
		if e.due.After(due) {
			return 1
		}
		return -1
	})
	s.later = slices.Insert(s.later, i, j)
}

// expire makes the jobs ready whose time has come.
func (s *schedule) expire(now time.Time) {
	n := 0
	for n < len(s.later) && !s.later[n].due.After(now) {
		s.ready = append(s.ready, s.later[n])
		n++
	}
	s.later = slices.Delete(s.later, 0, n)
}

// deadline is when expire has something to do next. The zero time is never.
func (s *schedule) deadline() time.Time {
	if len(s.later) == 0 {
		return time.Time{}
	}
	return s.later[0].due
}
