//go:build copies

package packet

import "testing"

func TestCopied(t *testing.T) {
	before := Copied()
	b := From(make([]byte, 100))
	c := b.Clone()
	if n := Copied() - before; n != 100+uint64(Headroom+100) {
		t.Errorf("%d bytes copied", n)
	}
	b.Release()
	c.Release()
}
