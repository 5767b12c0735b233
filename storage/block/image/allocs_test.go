package image

import "testing"

// TestAllocations reads what is in the caches, which allocates nothing.
func TestAllocations(t *testing.T) {
	i, err := Open(device(t, small(12, 0)), Config{})
	if err != nil {
		t.Fatal(err)
	}
	p := make([]byte, 8<<12)
	n := testing.AllocsPerRun(100, func() {
		if _, err := i.ReadAt(p, 0); err != nil {
			t.Fatal(err)
		}
	})
	if n > 0 {
		t.Errorf("a read allocates %v times", n)
	}
}
