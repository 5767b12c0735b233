package nbd

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"os"
	"os/exec"
	"strings"
	"testing"
	"time"

	"github.com/seed-012105e5/gonet/internal/netlink"
)

// TestAttachRequests holds what the kernel is told against bytes written by hand from
// linux/nbd-netlink.h.
func TestAttachRequests(t *testing.T) {
	if binary.NativeEndian.Uint16([]byte{1, 0}) != 1 {
		t.Skip("the table is of a little-endian machine")
	}
	for name, c := range map[string]struct {
		a    netlink.Attributes
		want []byte
	}{
		"connect": {(&connectRequest{index: 3, size: 1 << 20, flags: FlagHasFlags | FlagSendFlush, sockets: []int{8}, config: AttachConfig{SectorSize: 512, DeadTimeout: 1500 * time.Millisecond}}).attributes(), []byte{
			8, 0, 1, 0, 3, 0, 0, 0,
			12, 0, 2, 0, 0, 0, 16, 0, 0, 0, 0, 0,
			12, 0, 3, 0, 0, 2, 0, 0, 0, 0, 0, 0,
			12, 0, 5, 0, 5, 0, 0, 0, 0, 0, 0, 0,
			12, 0, 8, 0, 2, 0, 0, 0, 0, 0, 0, 0,
			16, 0, 7, 0x80, 12, 0, 1, 0x80, 8, 0, 1, 0, 8, 0, 0, 0,
		}},
		"connect, of several connections, to any device": {(&connectRequest{index: anyIndex, size: 4096, sockets: []int{8, 9}, config: AttachConfig{SectorSize: 4096, DeadTimeout: time.Second}}).attributes(), []byte{
			12, 0, 2, 0, 0, 16, 0, 0, 0, 0, 0, 0,
			12, 0, 3, 0, 0, 16, 0, 0, 0, 0, 0, 0,
			12, 0, 5, 0, 0, 0, 0, 0, 0, 0, 0, 0,
			12, 0, 4, 0, 0x80, 0x51, 1, 0, 0, 0, 0, 0,
			12, 0, 8, 0, 1, 0, 0, 0, 0, 0, 0, 0,
			28, 0, 7, 0x80, 12, 0, 1, 0x80, 8, 0, 1, 0, 8, 0, 0, 0, 12, 0, 1, 0x80, 8, 0, 1, 0, 9, 0, 0, 0,
		}},
		"with an owner": {(&connectRequest{index: 1, sockets: []int{5}, owner: "me", config: AttachConfig{}}).attributes(), []byte{
			8, 0, 1, 0, 1, 0, 0, 0,
			12, 0, 2, 0, 0, 0, 0, 0, 0, 0, 0, 0,
			12, 0, 3, 0, 0, 0, 0, 0, 0, 0, 0, 0,
			12, 0, 5, 0, 0, 0, 0, 0, 0, 0, 0, 0,
			12, 0, 8, 0, 0, 0, 0, 0, 0, 0, 0, 0,
			16, 0, 7, 0x80, 12, 0, 1, 0x80, 8, 0, 1, 0, 5, 0, 0, 0,
			7, 0, 10, 0, 'm', 'e', 0, 0,
		}},
		"with a timeout": {(&connectRequest{index: 0, sockets: []int{5}, config: AttachConfig{Timeout: 5 * time.Second}}).attributes(), []byte{
			8, 0, 1, 0, 0, 0, 0, 0,
			12, 0, 2, 0, 0, 0, 0, 0, 0, 0, 0, 0,
			12, 0, 3, 0, 0, 0, 0, 0, 0, 0, 0, 0,
			12, 0, 5, 0, 0, 0, 0, 0, 0, 0, 0, 0,
			12, 0, 4, 0, 5, 0, 0, 0, 0, 0, 0, 0,
			12, 0, 8, 0, 0, 0, 0, 0, 0, 0, 0, 0,
			16, 0, 7, 0x80, 12, 0, 1, 0x80, 8, 0, 1, 0, 5, 0, 0, 0,
		}},
	} {
		if !bytes.Equal(c.a, c.want) {
			t.Errorf("%s:\n% x, want\n% x", name, c.a, c.want)
		}
	}
}

func statusReply(index uint32, attached byte) netlink.Attributes {
	return netlink.Attributes(nil).Nest(attrDevices, func(a netlink.Attributes) netlink.Attributes {
		return a.Nest(attrDeviceItem, func(a netlink.Attributes) netlink.Attributes {
			return a.Uint32(attrDeviceIndex, index).Bytes(attrDeviceAttached, []byte{attached})
		})
	})
}

func TestAttachStatus(t *testing.T) {
	for _, c := range []struct {
		name string
		a    netlink.Attributes
		want bool
	}{
		{"attached", statusReply(2, 1), true},
		{"not attached", statusReply(2, 0), false},
		{"another", statusReply(3, 1), false},
		{"cut short", statusReply(2, 1)[:20], false},
		{"nothing", nil, false},
	} {
		if got := parseStatus(c.a, 2); got != c.want {
			t.Errorf("%s: %v", c.name, got)
		}
	}
}

func FuzzAttachStatus(f *testing.F) {
	f.Add([]byte(statusReply(2, 1)))
	f.Fuzz(func(t *testing.T, p []byte) {
		if parseStatus(p, 2) && len(p) < len(statusReply(2, 1)) {
			t.Errorf("% x", p)
		}
	})
}

// TestAttachOwner knows a process that lives, one that has ended, one that has the number
// of another, and what is not ours to know.
func TestAttachOwner(t *testing.T) {
	this, err := thisOwner()
	if err != nil {
		t.Fatal(err)
	}
	again, ok := parseOwner(this.String())
	if !ok || again != this {
		t.Errorf("%q is read as %+v", this, again)
	}
	for _, s := range []string{"", "gonet", "somebody else", this.String() + "x", "gonet  1 2", strings.Replace(this.String(), "gonet", "other", 1)} {
		if o, ok := parseOwner(s); ok {
			t.Errorf("%q is taken for %+v", s, o)
		}
	}
	child := exec.Command("sleep", "600")
	if err := child.Start(); err != nil {
		t.Fatal(err)
	}
	stat, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", child.Process.Pid))
	if err != nil {
		t.Fatal(err)
	}
	o := attachOwner{space: this.space, process: child.Process.Pid}
	if o.started, err = startOf(stat); err != nil {
		t.Fatal(err)
	}
	other := o
	other.started++
	if o.gone("/proc", this.space) || !other.gone("/proc", this.space) || other.gone("/proc", "pid:[1]") {
		t.Errorf("of a process that lives: %v, of its number %v, in another space %v", o.gone("/proc", this.space), other.gone("/proc", this.space), other.gone("/proc", "pid:[1]"))
	}
	child.Process.Kill()
	child.Wait()
	if !o.gone("/proc", this.space) {
		t.Error("a process that was killed is still there")
	}
	for _, s := range []string{"", "1 (a) S 1", "1 (a) b) S 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16 17 18 x"} {
		if n, err := startOf([]byte(s)); err == nil {
			t.Errorf("%q began at %d", s, n)
		}
	}
}
