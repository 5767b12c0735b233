package block

import "sync"

// ResizeNotices is a [ResizeNotifier] for devices to embed. Its zero value is
// ready.
type ResizeNotices struct {
	mu   sync.Mutex // held while each is told, which does not block
	next int
	told map[int]func(size int64)
}

// NotifyResize has f called by each Tell until stop is called.
func (r *ResizeNotices) NotifyResize(f func(size int64)) (stop func()) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.told == nil {
		r.told = map[int]func(int64){}
	}
	id := r.next
	r.next++
	r.told[id] = f
	return func() {
		r.mu.Lock()
		defer r.mu.Unlock()
		delete(r.told, id)
	}
}

// Tell tells all of the new size.
func (r *ResizeNotices) Tell(size int64) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, f := range r.told {
		f(size)
	}
}
