package buffers

import "testing"

// Each size from 1 byte to 64 MiB has a buffer that holds it and is no more than twice
// as long, from 4 KiB on.
func TestSizes(t *testing.T) {
	var p Pool
	if p.Get(0) != nil || Size(0) != 0 {
		t.Error("there is a buffer for nothing")
	}
	p.Put(nil)
	for bit := range largest + 1 {
		for _, n := range []int{1<<bit - 1, 1 << bit, 1<<bit + 1} {
			if n < 1 || n > 1<<largest {
				continue
			}
			if s := Size(n); s < n || s > max(2*n, 4<<10) {
				t.Errorf("%d bytes take %d", n, s)
			}
			if n > 1<<20 {
				continue
			}
			b := p.Get(n)
			if len(b.Bytes) != Size(n) {
				t.Errorf("the buffer for %d bytes has %d", n, len(b.Bytes))
			}
			p.Put(b)
		}
	}
}
