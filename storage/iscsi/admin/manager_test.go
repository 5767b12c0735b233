package admin

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/seed-012105e5/gonet/storage/block/spec"
	"github.com/seed-012105e5/gonet/storage/iscsi"
)

const t1, t2 = "iqn.2026-01.org.example:t1", "iqn.2026-01.org.example:t2"

// A lab is a server on loopback with its manager.
type lab struct {
	t       *testing.T
	server  *iscsi.Server
	manager *Manager
	address string
}

func newLab(t *testing.T, reload func(context.Context) error) *lab {
	t.Helper()
	n := &lab{t: t, server: new(iscsi.Server)}
	n.manager = NewManager(n.server, spec.Builtin(), reload)
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	n.address = l.Addr().String()
	ended := make(chan error, 1)
	go func() { ended <- n.server.Serve(l) }()
	t.Cleanup(func() {
		n.server.Close()
		<-ended
		if err := n.manager.Close(context.Background()); err != nil {
			t.Error(err)
		}
	})
	return n
}

// client is a Client of the manager, over a socket.
func (n *lab) client() *Client {
	n.t.Helper()
	path := filepath.Join(n.t.TempDir(), "s")
	l, err := Listen(n.t.Context(), path)
	if err != nil {
		n.t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- Serve(ctx, l, n.manager) }()
	n.t.Cleanup(func() {
		cancel()
		if err := <-ended; err != nil {
			n.t.Error(err)
		}
	})
	return NewClient(path)
}

// session logs in.
func (n *lab) session(target string) *iscsi.Client {
	n.t.Helper()
	c, err := new(iscsi.Dialer).Session(n.t.Context(), n.address, target)
	if err != nil {
		n.t.Fatal(err)
	}
	n.t.Cleanup(func() { c.Close() })
	return c
}

// check reads what was written on a unit.
func (n *lab) check(c *iscsi.Client, lun int, want byte) {
	n.t.Helper()
	d, err := c.Open(n.t.Context(), lun)
	if err != nil {
		n.t.Fatal(err)
	}
	p := make([]byte, 512)
	if _, err := d.ReadAt(p, 4096); err != nil || p[0] != want {
		n.t.Errorf("unit %d has %d, %v, want %d", lun, p[0], err, want)
	}
}

// write writes on a unit.
func (n *lab) write(c *iscsi.Client, lun int, what byte) {
	n.t.Helper()
	d, err := c.Open(n.t.Context(), lun)
	if err != nil {
		n.t.Fatal(err)
	}
	if _, err := d.WriteAt(bytes.Repeat([]byte{what}, 512), 4096); err != nil {
		n.t.Fatal(err)
	}
}

func (n *lab) luns(c *iscsi.Client, want ...int) {
	n.t.Helper()
	got, err := c.LUNs(n.t.Context())
	slices.Sort(got)
	if err != nil || !slices.Equal(got, want) {
		n.t.Errorf("units %v, %v, want %v", got, err, want)
	}
}

// TestControl does the same by the library and over the socket.
func TestControl(t *testing.T) {
	for _, remote := range []bool{false, true} {
		t.Run(fmt.Sprintf("remote=%v", remote), func(t *testing.T) {
			n := newLab(t, nil)
			var c Control = n.manager
			if remote {
				c = n.client()
			}
			testControl(t, n, c)
		})
	}
}

func testControl(t *testing.T, n *lab, c Control) {
	ctx := t.Context()
	good := func(err error) {
		t.Helper()
		if err != nil {
			t.Error(err)
		}
	}
	file := filepath.Join(t.TempDir(), "a,b.img")
	disk := "file:" + strings.ReplaceAll(file, ",", ",,") + ",create,size=1M"
	good(c.Create(ctx, Target{Name: t1, Alias: "one", LUNs: map[int]LUN{0: {Disk: "memory:1M"}, 300: {Disk: disk}}}))
	good(c.Create(ctx, Target{Name: t2, Access: []Access{{User: "user", Secret: "twelve bytes or more", LUNs: map[int]string{0: "ro"}}}}))

	s := n.session(strings.ToUpper(t1[:4]) + t1[4:])
	n.luns(s, 0, 300)
	n.write(s, 300, 7)
	good(c.AddLUN(ctx, t1, 2, LUN{Disk: "memory:64K,type=cdrom"}))
	n.luns(s, 0, 2, 300)
	good(c.RemoveLUN(ctx, t1, 0))
	n.luns(s, 2, 300)

	targets, err := c.Targets(ctx)
	if err != nil || len(targets) != 2 || targets[0].Name != t1 || targets[0].Alias != "one" || targets[0].LUNs[300] != (LUN{Disk: disk, Size: 1 << 20}) {
		t.Errorf("%+v, %v", targets, err)
	}
	if a := targets[1].Access; len(a) != 1 || a[0].User != "user" || a[0].Secret != "" || a[0].LUNs[0] != "ro" {
		t.Errorf("access %+v", a)
	}
	all, err := c.Sessions(ctx)
	if err != nil || len(all) != 1 || all[0].Target != t1 || all[0].TSIH == 0 || all[0].Remote == "" || all[0].Since.IsZero() {
		t.Errorf("sessions %+v, %v", all, err)
	}
	if stats, err := c.Stats(ctx); err != nil || stats["Targets"] != 2 {
		t.Errorf("%v, %v", stats, err)
	}

	for name, f := range map[string]struct {
		err  error
		want error
		text string
	}{
		"twice":            {c.Create(ctx, Target{Name: strings.ToUpper(t1)}), ErrExists, "T1"},
		"lun twice":        {c.AddLUN(ctx, t1, 2, LUN{Disk: "memory:1M"}), ErrExists, "unit 2"},
		"no target":        {c.Remove(ctx, "iqn.2026-01.org.example:none"), ErrNotFound, "none"},
		"lun of no target": {c.AddLUN(ctx, "iqn.2026-01.org.example:none", 1, LUN{Disk: "memory:1M"}), ErrNotFound, "none"},
		"no lun":           {c.RemoveLUN(ctx, t1, 0), ErrNotFound, "unit 0"},
		"no name":          {c.Create(ctx, Target{Name: "a b"}), nil, "no name"},
		"no kind":          {c.AddLUN(ctx, t1, 5, LUN{Disk: "floppy:x"}), nil, "floppy"},
		"no file":          {c.AddLUN(ctx, t1, 5, LUN{Disk: "file:/nowhere/at/all"}), nil, "/nowhere"},
		"lun too large":    {c.AddLUN(ctx, t1, 16384, LUN{Disk: "memory:1M"}), nil, "16383"},
		"negative lun":     {c.AddLUN(ctx, t1, -1, LUN{Disk: "memory:1M"}), nil, "-1"},
		"access":           {c.Create(ctx, Target{Name: t1 + "x", Access: []Access{{LUNs: map[int]string{1: "wo"}}}}), nil, "wo"},
		"short secret":     {c.Create(ctx, Target{Name: t1 + "x", Access: []Access{{User: "u", Secret: "short"}}}), nil, "secret"},
		"half":             {c.Create(ctx, Target{Name: t1 + "x", LUNs: map[int]LUN{1: {Disk: "memory:1M"}, 2: {Disk: "floppy:"}}}), nil, "floppy"},
		"reload":           {c.Reload(ctx), nil, "no configuration"},
	} {
		if f.err == nil || !strings.Contains(f.err.Error(), f.text) || f.want != nil && !errors.Is(f.err, f.want) {
			t.Errorf("%s: %v", name, f.err)
		}
	}
	if names := n.server.Targets(); len(names) != 2 {
		t.Errorf("targets %q", names)
	}

	good(c.Remove(ctx, t1))
	if _, err := new(iscsi.Dialer).Session(ctx, n.address, t1); err == nil {
		t.Error("a target that was removed is served")
	}
	if text, err := os.ReadFile(file); err != nil || len(text) != 1<<20 || text[4096] != 7 {
		t.Errorf("the file has %d bytes, %v", len(text), err)
	}
	// Its disk is closed, so that it can be opened again.
	good(c.Create(ctx, Target{Name: t1, LUNs: map[int]LUN{1: {Disk: disk}}}))
	n.check(n.session(t1), 1, 7)
}

// TestShared has one unit in two targets, which outlives the one that had it first.
func TestShared(t *testing.T) {
	n := newLab(t, nil)
	disk := "file:" + filepath.Join(t.TempDir(), "disk") + ",create,size=1M"
	one := map[int]LUN{1: {Disk: disk, Shared: "one"}}
	ctx := t.Context()
	for _, name := range []string{t1, t2} {
		if err := n.manager.Create(ctx, Target{Name: name, LUNs: one}); err != nil {
			t.Fatal(err)
		}
	}
	if err := n.manager.AddLUN(ctx, t2, 2, LUN{Disk: "memory:1M", Shared: "one"}); err == nil || !strings.Contains(err.Error(), "another disk") {
		t.Error(err)
	}
	n.write(n.session(t1), 1, 9)
	if err := n.manager.Remove(ctx, t1); err != nil {
		t.Error(err)
	}
	n.check(n.session(t2), 1, 9)
	if err := n.manager.Remove(ctx, t2); err != nil {
		t.Error(err)
	}
	if err := n.manager.Create(ctx, Target{Name: t1, LUNs: map[int]LUN{1: {Disk: disk}}}); err != nil {
		t.Error(err)
	}
}

// TestApply applies one configuration after another while a session is at work.
func TestApply(t *testing.T) {
	n := newLab(t, nil)
	dir := t.TempDir()
	file := func(name string) LUN { return LUN{Disk: "file:" + filepath.Join(dir, name) + ",create,size=1M"} }
	a, b := file("a"), file("b")
	changed := 0
	apply := func(want int, targets ...Target) {
		t.Helper()
		changes, err := n.manager.Apply(t.Context(), targets)
		if err != nil || len(changes) != want {
			t.Errorf("%d: changes %q, %v, want %d", changed, changes, err, want)
		}
		changed++
	}
	apply(1, Target{Name: t1, LUNs: map[int]LUN{0: a}})
	s := n.session(t1)
	n.write(s, 0, 1)
	apply(0, Target{Name: t1, LUNs: map[int]LUN{0: a}})
	apply(2, Target{Name: t1, LUNs: map[int]LUN{0: a, 1: b}}, Target{Name: t2})
	n.luns(s, 0, 1)
	n.write(s, 1, 2)
	// What others have made stays.
	if err := n.manager.AddLUN(t.Context(), t1, 9, LUN{Disk: "memory:1M"}); err != nil {
		t.Error(err)
	}
	// The disks change places.
	apply(5, Target{Name: t1, LUNs: map[int]LUN{0: b, 1: a}})
	n.luns(s, 0, 1, 9)
	n.check(s, 0, 2)
	n.check(s, 1, 1)
	if got := s.Connections(); got != 1 {
		t.Errorf("the session has had %d connections", got)
	}
	// What fails does not keep the rest from being done, and is done the next time.
	changes, err := n.manager.Apply(t.Context(), []Target{{Name: t1, LUNs: map[int]LUN{0: {Disk: "file:/nowhere/at/all"}, 1: a, 2: {Disk: "memory:1M"}}}})
	if err == nil || !strings.Contains(err.Error(), "/nowhere") || len(changes) != 2 {
		t.Errorf("%q, %v", changes, err)
	}
	n.luns(s, 1, 2, 9)
	apply(1, Target{Name: t1, LUNs: map[int]LUN{0: b, 1: a, 2: {Disk: "memory:1M"}}})
	n.check(s, 0, 2)
	// Another access ends the session, which comes again.
	apply(1, Target{Name: t1, Alias: "new", LUNs: map[int]LUN{0: b, 1: a, 2: {Disk: "memory:1M"}}})
	n.check(s, 1, 1)
	if got := s.Connections(); got != 2 {
		t.Errorf("the session has had %d connections", got)
	}
	if _, err := n.manager.Apply(t.Context(), []Target{{Name: t1}, {Name: strings.ToUpper(t1)}}); !errors.Is(err, ErrExists) {
		t.Error(err)
	}
	s.Close()
	apply(1)
	if names := n.server.Targets(); len(names) != 0 {
		t.Errorf("targets %q", names)
	}
}
