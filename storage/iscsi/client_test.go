package iscsi

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"net"
	"sync"
	"testing"
	"time"

	"github.com/seed-012105e5/gonet/storage/block"
	"github.com/seed-012105e5/gonet/storage/block/blocktest"
	"github.com/seed-012105e5/gonet/storage/scsi"
)

// loopback serves a target with LUN 1 of dev over TCP.
func loopback(t *testing.T, s *Server, target Target, dev block.Device) (address string) {
	t.Helper()
	disk, err := block.NewDisk(dev)
	if err != nil {
		t.Fatal(err)
	}
	u, err := scsi.NewUnit(scsi.UnitConfig{Disk: disk})
	if err != nil {
		t.Fatal(err)
	}
	target.Name = testTarget
	units, err := s.Add(target)
	if err != nil {
		t.Fatal(err)
	}
	if err := units.Add(1, u); err != nil {
		t.Fatal(err)
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	done := make(chan struct{})
	go func() { defer close(done); s.Serve(l) }()
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), 20*time.Second)
		defer cancel()
		if err := s.Shutdown(ctx); err != nil {
			t.Errorf("Shutdown: %v", err)
		}
		<-done
		for name, v := range s.Stats() {
			if v > 0 && (name == "ConnectionsOpen" || name == "SessionsOpen" || name == "ProtocolErrors") {
				t.Errorf("%s is %d", name, v)
			}
		}
	})
	return l.Addr().String()
}

// A unit over the wire is a device like any other, with and without digests and CHAP.
func TestDevice(t *testing.T) {
	mutual := Target{Access: []Access{{User: "joe", Secret: testSecret, MutualUser: "t", MutualSecret: testMutual}}}
	for _, c := range []struct {
		name   string
		target Target
		query  string
		user   string
	}{
		{"plain", Target{}, "", ""},
		{"digests", Target{}, "?header_digest=crc32c&data_digest=crc32c", ""},
		{"CHAP", mutual, "?target_user=t&target_password=" + "secret+of+the+target", "joe%" + testSecret + "@"},
	} {
		t.Run(c.name, func(t *testing.T) {
			blocktest.TestDevice(t, func(t *testing.T) block.Device {
				address := loopback(t, &Server{}, c.target, block.NewMemory(4<<20))
				url := fmt.Sprintf("iscsi://%s%s/%s/1%s", c.user, address, testTarget, c.query)
				d, err := (&Dialer{}).Open(t.Context(), url)
				if err != nil {
					t.Fatal(err)
				}
				t.Cleanup(func() {
					if err := d.Close(); err != nil {
						t.Error(err)
					}
				})
				return d
			})
		})
	}
}

func TestDiscover(t *testing.T) {
	s := &Server{}
	address := loopback(t, s, Target{}, block.NewMemory(1<<20))
	for i := range 500 {
		if _, err := s.Add(Target{Name: fmt.Sprintf("iqn.2026-01.org.example:disk%d", i), Groups: []uint16{1, 7}}); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := s.Add(Target{Name: "iqn.2026-01.org.example:hidden", Groups: []uint16{7}}); err != nil {
		t.Fatal(err)
	}
	found, err := (&Dialer{}).Discover(t.Context(), address)
	if err != nil || len(found) != 502 {
		t.Fatalf("%d targets, %v", len(found), err)
	}
	for _, f := range found {
		want := []string{address + ",1"}
		if f.Name == "iqn.2026-01.org.example:hidden" {
			want = nil
		}
		if fmt.Sprint(f.Addresses) != fmt.Sprint(want) {
			t.Errorf("%+v, want %v", f, want)
		}
	}
	if _, err := (&Dialer{}).Session(t.Context(), address, "iqn.2026-01.org.example:hidden"); err == nil {
		t.Error("a target is reached through a portal that is not its own")
	}
}

// Commands of many callers go on over connections that are cut all the time, and lose
// nothing.
func TestReconnect(t *testing.T) {
	address := loopback(t, &Server{}, Target{}, block.NewMemory(4<<20))
	var mu sync.Mutex
	var conns []net.Conn
	d := &Dialer{HeaderDigest: true, Dial: func(ctx context.Context, network, a string) (net.Conn, error) {
		conn, err := new(net.Dialer).DialContext(ctx, network, a)
		mu.Lock()
		defer mu.Unlock()
		conns = append(conns, conn)
		return conn, err
	}}
	dev, err := d.Open(t.Context(), "iscsi://"+address+"/"+testTarget+"/1")
	if err != nil {
		t.Fatal(err)
	}
	defer dev.Close()
	const cuts = 10
	stop := make(chan struct{})
	var users sync.WaitGroup
	for user := range 8 {
		users.Go(func() {
			r := rand.New(rand.NewPCG(1, uint64(user)))
			base, model := int64(user)*256<<10, make([]byte, 256<<10)
			for round := 0; ; round++ {
				select {
				case <-stop:
					got := make([]byte, len(model))
					if _, err := dev.ReadAt(got, base); err != nil || !bytes.Equal(got, model) {
						t.Errorf("user %d: other data at the end, %v", user, err)
					}
					return
				default:
				}
				off, n := int64(r.IntN(256))*512, (1+r.IntN(256))*512
				p := model[off : off+int64(n)]
				if r.IntN(2) == 0 {
					for i := range p {
						p[i] = byte(round + i)
					}
					if _, err := dev.WriteAt(p, base+off); err != nil {
						t.Errorf("user %d: %v", user, err)
						return
					}
					continue
				}
				got := make([]byte, n)
				if _, err := dev.ReadAt(got, base+off); err != nil || !bytes.Equal(got, p) {
					t.Errorf("user %d: other data, %v", user, err)
					return
				}
			}
		})
	}
	for made := 1; made <= cuts; made++ {
		for dev.Client.Connections() < made {
			time.Sleep(time.Millisecond)
		}
		time.Sleep(5 * time.Millisecond)
		mu.Lock()
		conns[len(conns)-1].Close()
		mu.Unlock()
	}
	close(stop)
	users.Wait()
	if n := dev.Client.Connections(); n < cuts {
		t.Errorf("%d connections", n)
	}
}

// stuck is a device whose reads wait until they are let go.
type stuck struct {
	*block.Memory
	let chan struct{}
}

func (s stuck) Immediate() bool { return false }

func (s stuck) ReadAt(p []byte, off int64) (int, error) {
	if off >= 1<<20 {
		<-s.let
	}
	return s.Memory.ReadAt(p, off)
}

// A command that is given up is aborted at the target; others go on meanwhile.
func TestCancel(t *testing.T) {
	s := &Server{}
	dev := stuck{block.NewMemory(4 << 20), make(chan struct{})}
	address := loopback(t, s, Target{}, dev)
	d, err := (&Dialer{}).Open(t.Context(), "iscsi://"+address+"/"+testTarget+"/1")
	if err != nil {
		t.Fatal(err)
	}
	defer d.Close()
	ctx, cancel := context.WithCancel(t.Context())
	given := make(chan error)
	go func() {
		_, err := d.ReadAtContext(ctx, make([]byte, 4096), 1<<20)
		given <- err
	}()
	p := make([]byte, 4096)
	for range 100 {
		if _, err := d.ReadAt(p, 0); err != nil {
			t.Fatal(err)
		}
	}
	cancel()
	for s.Stats()["TaskManagement"] == 0 {
		time.Sleep(time.Millisecond)
	}
	close(dev.let)
	if err := <-given; !errors.Is(err, context.Canceled) {
		t.Errorf("%v", err)
	}
	if n := s.Stats()["CommandsAborted"]; n != 1 {
		t.Errorf("%d commands were aborted", n)
	}
	if _, err := d.ReadAt(p, 1<<20); err != nil {
		t.Error(err)
	}
	if d.Client.Connections() != 1 {
		t.Errorf("%d connections", d.Client.Connections())
	}
}

func TestURL(t *testing.T) {
	const name = "iqn.2026-01.org.example:t1"
	for s, want := range map[string]URL{
		"iscsi://host/" + name + "/1":                              {Address: "host:3260", Target: name, LUN: 1},
		"iscsi://host:3261/" + name + "/0":                         {Address: "host:3261", Target: name},
		"iscsi://[2001:db8::1]:3261/" + name + "/2":                {Address: "[2001:db8::1]:3261", Target: name, LUN: 2},
		"iscsi://[2001:db8::1]/" + name:                            {Address: "[2001:db8::1]:3260", Target: name, LUN: -1},
		"ISCSI://host":                                             {Address: "host:3260", LUN: -1},
		"iscsi://host/":                                            {Address: "host:3260", LUN: -1},
		"iscsi://joe%secret@host/" + name + "/1":                   {Address: "host:3260", Target: name, LUN: 1, User: "joe", Secret: "secret"},
		"iscsi://joe:se%40cret@host/" + name + "/1":                {Address: "host:3260", Target: name, LUN: 1, User: "joe", Secret: "se@cret"},
		"iscsi://joe%se@cret@host/" + name + "/1":                  {Address: "host:3260", Target: name, LUN: 1, User: "joe", Secret: "se@cret"},
		"iscsi://h/" + name + "/1?header_digest=crc32c":            {Address: "h:3260", Target: name, LUN: 1, HeaderDigest: true},
		"iscsi://h/" + name + "/1?data_digest=CRC32C&x=y":          {Address: "h:3260", Target: name, LUN: 1, DataDigest: true},
		"iscsi://h/" + name + "/1?target_user=t&target_password=p": {Address: "h:3260", Target: name, LUN: 1, MutualUser: "t", MutualSecret: "p"},
	} {
		if u, err := ParseURL(s); err != nil || u != want {
			t.Errorf("%s: %+v %v, want %+v", s, u, err, want)
		}
	}
	for _, s := range []string{"", "nbd://host", "iscsi://", "iscsi:///" + name + "/1", "iscsi://host/disk/1", "iscsi://host/" + name + "/x",
		"iscsi://host/" + name + "/-1", "iscsi://host/" + name + "/99999", "iscsi://host/" + name + "/1?%zz"} {
		if u, err := ParseURL(s); err == nil {
			t.Errorf("%s: %+v", s, u)
		}
	}
}
