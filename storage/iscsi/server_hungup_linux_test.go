package iscsi

import (
	"context"
	"errors"
	"net"
	"net/netip"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"github.com/seed-012105e5/gonet"
	links "github.com/seed-012105e5/gonet/link"
	"github.com/seed-012105e5/gonet/storage/block"
	"github.com/seed-012105e5/gonet/storage/scsi"
)

// Either side's close is seen, also behind data that nobody has read.
func TestHungUp(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	for _, c := range []struct {
		name string
		do   func(here, there net.Conn)
		want bool
	}{
		{"open", func(here, there net.Conn) {}, false},
		{"data", func(here, there net.Conn) { there.Write([]byte("x")) }, false},
		{"theirs", func(here, there net.Conn) { there.Close() }, true},
		{"theirs, behind data", func(here, there net.Conn) { there.Write([]byte("x")); there.Close() }, true},
		{"theirs, by a reset", func(here, there net.Conn) { there.(*net.TCPConn).SetLinger(0); there.Close() }, true},
		{"ours", func(here, there net.Conn) { here.Close() }, true},
	} {
		there, err := net.Dial("tcp", l.Addr().String())
		if err != nil {
			t.Fatal(err)
		}
		here, err := l.Accept()
		if err != nil {
			t.Fatal(err)
		}
		c.do(here, there)
		got := hungUp(here)
		for deadline := time.Now().Add(time.Minute); c.want && !got && time.Now().Before(deadline); got = hungUp(here) {
			time.Sleep(time.Millisecond) // it is on its way
		}
		if got != c.want {
			t.Errorf("%s: %v", c.name, got)
		}
		here.Close()
		there.Close()
	}
	if near, _ := net.Pipe(); hungUp(near) {
		t.Error("a pipe, of which nothing is known")
	}
}

// lateConn is a connection whose end is seen late.
type lateConn struct{ net.Conn }

func (c lateConn) Read(p []byte) (int, error) {
	n, err := c.Conn.Read(p)
	if err != nil {
		time.Sleep(50 * time.Millisecond)
	}
	return n, err
}

// lateSocket is one that can be looked at.
type lateSocket struct {
	lateConn
	syscall.Conn
}

// lateListener makes all its connections lateSockets.
type lateListener struct{ net.Listener }

func (l lateListener) Accept() (net.Conn, error) {
	c, err := l.Listener.Accept()
	if err != nil {
		return nil, err
	}
	return lateSocket{lateConn{c}, c.(syscall.Conn)}, nil
}

// Who drops a connection and logs in anew, under another ISID, finds free what the first
// session had reserved, however late its end is seen.
func TestDropAndLoginAgain(t *testing.T) {
	near, far := links.Pipe(links.PipeConfig{})
	client, err := gonet.New(gonet.Config{Link: near, Addr: netip.MustParsePrefix("10.0.0.1/24")})
	if err != nil {
		t.Fatal(err)
	}
	defer client.Close()
	server, err := gonet.New(gonet.Config{Link: far, Addr: netip.MustParsePrefix("10.0.0.2/24")})
	if err != nil {
		t.Fatal(err)
	}
	defer server.Close()
	for _, c := range []struct {
		name, address string
		listen        func(network, address string) (net.Listener, error)
		dial          func(ctx context.Context, network, address string) (net.Conn, error)
	}{
		{"sockets", "127.0.0.1:0", net.Listen, new(net.Dialer).DialContext},
		{"GoNet", "10.0.0.2:3260", server.Listen, client.DialContext},
	} {
		t.Run(c.name, func(t *testing.T) {
			l, err := c.listen("tcp", c.address)
			if err != nil {
				t.Fatal(err)
			}
			s, err := suiteServer(lateListener{l}, suiteDisk)
			if err != nil {
				t.Fatal(err)
			}
			defer s.Close()
			d := &Dialer{Dial: c.dial, ReplacementTimeout: -1}
			for range 3 {
				i, err := d.Session(t.Context(), l.Addr().String(), testTarget)
				if err != nil {
					t.Fatal(err)
				}
				if err := ready(i, suiteDisk); err != nil {
					t.Fatal(err)
				}
				r, err := i.Command(t.Context(), suiteDisk, []byte{0x16, 0, 0, 0, 0, 0}, nil, nil) // RESERVE(6)
				if err != nil || r.Status != scsi.Good {
					t.Fatalf("%v %v", r.Status, err)
				}
				i.link.conn.Close()
				i.Close()
			}
		})
	}
}

// slowMemory is a device whose reads take a second, whatever the context says.
type slowMemory struct{ *block.Memory }

func (s slowMemory) Immediate() bool { return false }

func (s slowMemory) ReadAt(p []byte, off int64) (int, error) {
	time.Sleep(time.Second)
	return s.Memory.ReadAt(p, off)
}

// A command whose context ends in the instant in which its connection is lost ends as the
// context says.
func TestContextEndsWithConnection(t *testing.T) {
	inBubble(t, &Server{}, Target{}, func(t *testing.T, n *testNet, units *scsi.Target) {
		disk, err := block.NewDisk(slowMemory{block.NewMemory(1 << 20)})
		if err != nil {
			t.Fatal(err)
		}
		u, err := scsi.NewUnit(scsi.UnitConfig{Disk: disk})
		if err != nil {
			t.Fatal(err)
		}
		if err := units.Add(2, u); err != nil {
			t.Fatal(err)
		}
		dialer := n.dialer()
		dialer.ReplacementTimeout = time.Minute
		c := n.session(dialer)
		defer c.Close()
		d, err := c.Open(t.Context(), 2)
		if err != nil {
			t.Fatal(err)
		}
		for range 50 {
			time.Sleep(time.Minute)
			k := c.link0()
			ctx, cancel := context.WithTimeout(t.Context(), 500*time.Millisecond)
			time.AfterFunc(500*time.Millisecond, func() { k.conn.Close() })
			if _, err := d.ReadAtContext(ctx, make([]byte, 512), 0); !errors.Is(err, context.DeadlineExceeded) {
				t.Errorf("%v", err)
			}
			cancel()
		}
		time.Sleep(time.Minute) // the device has done what it was at
	})
}

// 11.15: the answer to a Logout says that the session has ended, with its tasks and what
// it had reserved.
func TestLogoutEndsTheNexus(t *testing.T) {
	inBubble(t, &Server{}, Target{}, func(t *testing.T, n *testNet, units *scsi.Target) {
		disk, err := block.NewDisk(slowMemory{block.NewMemory(1 << 20)})
		if err != nil {
			t.Fatal(err)
		}
		u, err := scsi.NewUnit(scsi.UnitConfig{Disk: disk})
		if err != nil {
			t.Fatal(err)
		}
		if err := units.Add(2, u); err != nil {
			t.Fatal(err)
		}
		d := n.dialer()
		d.Initiator += "2"
		a, b := n.session(n.dialer()), n.session(d)
		defer b.Close()
		for _, c := range []*Client{a, b} {
			if err := ready(c, 2); err != nil {
				t.Fatal(err)
			}
		}
		reserve := func(c *Client, want scsi.Status) {
			t.Helper()
			if r, err := c.Command(t.Context(), 2, []byte{0x16, 0, 0, 0, 0, 0}, nil, nil); err != nil || r.Status != want {
				t.Errorf("RESERVE(6): %v %v, want %v", r.Status, err, want)
			}
		}
		reserve(a, scsi.Good)
		reserve(b, scsi.ReservationConflict)
		go a.Command(t.Context(), 2, []byte{0x28, 8: 1, 9: 0}, nil, make([]byte, 512)) // READ(10)
		synctest.Wait()
		start := time.Now()
		if err := a.Close(); err != nil || time.Since(start) != time.Second {
			t.Errorf("%v after %v", err, time.Since(start))
		}
		reserve(b, scsi.Good)
	})
}
