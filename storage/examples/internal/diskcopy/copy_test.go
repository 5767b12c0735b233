package diskcopy

import (
	"testing"

	"github.com/seed-012105e5/gonet/storage/block"
)

// TestCompare shows that a difference is found.
func TestCompare(t *testing.T) {
	a, b := block.NewMemory(3<<20), block.NewMemory(3<<20)
	b.WriteAt([]byte{1}, 2<<20+17)
	from, err := block.NewDisk(a)
	if err != nil {
		t.Fatal(err)
	}
	to, err := block.NewDisk(b)
	if err != nil {
		t.Fatal(err)
	}
	c := Copier{From: from, To: to, Size: 3 << 20, Workers: 3}
	if err := c.Compare(t.Context(), none{}); err == nil || err.Error() != "the disks differ at byte 2097169" {
		t.Errorf("%v", err)
	}
}

type none struct{}

func (none) Add64(int64) error { return nil }

func TestName(t *testing.T) {
	for _, c := range []struct {
		name string
		size int64
		want string
	}{
		{"a.img", -1, "file:a.img,ro"},
		{"/x/a,b:c", 7, "file:/x/a,,b:c,create,size=7"},
		{"./memory:1M", -1, "file:./memory:1M,ro"},
		{"memory:1M", 7, "memory:1M"},
		{"iscsi://h/t/1", 7, "iscsi://h/t/1"},
	} {
		if got := Name(c.name, c.size); got != c.want {
			t.Errorf("%q, %d: %q, want %q", c.name, c.size, got, c.want)
		}
	}
}
