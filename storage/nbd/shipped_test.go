package nbd

import (
	"bytes"
	"context"
	"crypto/tls"
	"errors"
	"net"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"github.com/seed-012105e5/gonet/storage/block"
)

// TestShipped holds faults that NBD servers and clients of others have been shipped
// with against ours.
func TestShipped(t *testing.T) {
	for _, c := range []struct {
		name string
		test func(t *testing.T)
	}{
		{"a write that fails leaves its payload on the socket", failedPayload},
		{"an error of FLUSH is not told", failedFlush},
		{"overlapping requests tear a block that is read, changed and written back", overlappingWrites},
		{"the end of a connection inside TLS spins for ever, at the server", lossInTLS},
		{"the end of a connection inside TLS spins for ever, at the client", lossInTLSOfClient},
		{"a client that reconnects reads zeroes of a device whose size has become 0", becomesEmpty},
		{"mkfs on an empty backing file ends the server", mkfsOnEmpty},
	} {
		t.Run(strings.ReplaceAll(c.name, " ", "_"), c.test)
	}
}

// failedPayload has writes fail, in the device and before it, by one byte and by more
// than any buffer holds: the requests behind each are understood.
func failedPayload(t *testing.T) {
	for style := headersSimple; style <= headersExtended; style++ {
		synctest.Test(t, func(t *testing.T) {
			d := newScript()
			d.before = func(op string, off int64) error {
				if op == "write" && off == 0 {
					return syscall.EIO
				}
				return nil
			}
			s := &Server{}
			defer s.Close()
			for _, e := range []Export{{Name: "a", Device: d}, {Name: "b", Device: d, ReadOnly: true}, {Name: "c", Device: d, MinimumBlockSize: 512, MaximumRequestSize: 65536}} {
				if err := s.Add(e); err != nil {
					t.Fatal(err)
				}
			}
			for _, w := range []struct {
				export string
				off    uint64
				length int
				want   Errno
			}{
				{"a", 0, 1, EIO}, {"a", 0, 1 << 20, EIO}, {"a", 1<<20 - 1, 2, ENOSPC}, {"a", 1 << 40, 3 << 20, ENOSPC},
				{"b", 0, 1, EPERM}, {"b", 0, 1 << 20, EPERM}, {"c", 1, 512, EINVAL}, {"c", 0, 1 << 20, EINVAL},
			} {
				c := dialRaw(t, s)
				c.negotiate(style, w.export)
				for range 3 {
					c.do(request{c.writeFlag(), cmdWrite, 1, w.off, uint64(w.length)}, bytes.Repeat([]byte{0x25}, w.length), w.want)
					c.do(request{0, cmdRead, 2, 4096, 512}, nil, 0)
				}
				c.conn.Close()
			}
		})
	}
}

// failedFlush has the device fail to make writes durable, by each way to ask for it. A
// client of ours is told too.
func failedFlush(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := newScript()
		d.before = func(op string, off int64) error {
			if strings.Contains(op, "FUA") || op == "sync" {
				return syscall.EIO
			}
			return nil
		}
		s := newServer(t, d)
		defer s.Close()
		for style := headersSimple; style <= headersExtended; style++ {
			c := dialRaw(t, s)
			c.negotiate(style, "a")
			c.do(request{0, cmdFlush, 1, 0, 0}, nil, EIO)
			c.do(request{c.writeFlag() | cmdFlagFUA, cmdWrite, 2, 0, 3}, []byte("abc"), EIO)
			c.do(request{cmdFlagFUA, cmdWriteZeroes, 3, 0, 512}, nil, EIO)
			c.do(request{cmdFlagFUA, cmdTrim, 4, 0, 65536}, nil, EIO)
			c.conn.Close()
			client, _ := dialPipes(t, clientDialers[style], s)
			for name, err := range map[string]error{
				"Sync":        client.Sync(),
				"WriteAtFUA":  func() error { _, err := client.WriteAtFUA([]byte("abc"), 0); return err }(),
				"WriteZeroes": client.WriteZeroes(0, 512, block.ZeroFUA),
			} {
				if !errors.Is(err, syscall.EIO) {
					t.Errorf("headers %d: %s: %v", style, name, err)
				}
			}
			client.Close()
		}
	})
}

// lossInTLS ends the connection at each moment of TLS: the server ends it too, and does
// not read for ever.
func lossInTLS(t *testing.T) {
	a := newAuthority(t)
	for _, stage := range []string{"before the handshake", "in the handshake", "in the negotiation", "in a session", "in a request"} {
		s := newServer(t, block.NewMemory(1<<20))
		s.TLSMode, s.TLS = TLSAllowed, &tls.Config{Certificates: []tls.Certificate{a.issue(t, "server")}}
		near, far := net.Pipe()
		done := make(chan error)
		go func() { done <- s.ServeConn(far) }()
		c := &rawClient{t: t, conn: near}
		c.hello(flagFixedNewstyle)
		switch stage {
		case "before the handshake":
			c.want(optStartTLS, nil, repAck)
		case "in the handshake":
			c.want(optStartTLS, nil, repAck)
			c.write([]byte{22, 3, 1, 2, 0, 1, 0})
		default:
			if err := c.startTLS(a, nil); err != nil {
				t.Fatal(err)
			}
			if stage == "in a session" || stage == "in a request" {
				c.negotiate(headersSimple, "a")
			}
			if stage == "in a request" {
				c.write(appendRequest(nil, request{0, cmdWrite, 1, 0, 100}, headersSimple))
			}
		}
		near.Close()
		select {
		case <-done:
		case <-time.After(10 * time.Second):
			t.Errorf("lost %s: the server has not ended", stage)
		}
		s.Close()
	}
}

// lossInTLSOfClient loses the connection below TLS, without a close_notify, with a read
// under way: it fails at once.
func lossInTLSOfClient(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a := newAuthority(t)
		d := newScript()
		d.before = func(op string, off int64) error { time.Sleep(time.Hour); return nil }
		s := newServer(t, d)
		s.TLSMode, s.TLS = TLSRequired, &tls.Config{Certificates: []tls.Certificate{a.issue(t, "server")}}
		defer s.Close()
		near, far := net.Pipe()
		go s.ServeConn(far)
		c, err := (&Dialer{TLS: &tls.Config{RootCAs: a.pool, ServerName: "server"}}).NewClient(context.Background(), "a", near)
		if err != nil {
			t.Fatal(err)
		}
		defer c.Close()
		time.AfterFunc(time.Second, func() { far.Close() })
		start := time.Now()
		if _, err := c.ReadAt(make([]byte, 512), 0); !errors.Is(err, ErrConnectionLost) || time.Since(start) != time.Second {
			t.Errorf("%v after %v", err, time.Since(start))
		}
		time.Sleep(2 * time.Hour)
	})
}

// becomesEmpty has the client find a device without bytes where there was one.
func becomesEmpty(t *testing.T) {
	for _, policy := range []Replay{ReplayReads, ReplayWrites, ReplayUnflushed} {
		inBubble(t, Dialer{Replay: policy, ReconnectTimeout: time.Minute}, func(t *testing.T, c *Client, dev *scriptDevice, p *pipes) {
			p.cut(newServer(t, block.NewMemory(0)))
			if n, err := c.ReadAt(make([]byte, 512), 0); n != 0 || !errors.Is(err, ErrExportChanged) {
				t.Errorf("policy %d: %d bytes, %v", policy, n, err)
			}
		})
	}
}

// mkfsOnEmpty does on an empty file what mkfs does on a disk: errors, and the server goes
// on. (TestPeerMkfs has real programs do the like.)
func mkfsOnEmpty(t *testing.T) {
	f, err := block.OpenFile(filepath.Join(t.TempDir(), "empty"), block.FileConfig{Create: true})
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	s := newServer(t, f, block.NewMemory(1<<20))
	defer s.Close()
	for style := headersSimple; style <= headersExtended; style++ {
		c := dialRaw(t, s)
		c.negotiate(style, "a", contexts(style)...)
		for _, off := range []uint64{0, 1024, 4096, 1 << 30} {
			c.do(request{0, cmdRead, 1, off, 4096}, nil, EINVAL)
			c.do(request{c.writeFlag(), cmdWrite, 2, off, 1024}, make([]byte, 1024), ENOSPC)
			c.do(request{0, cmdTrim, 3, off, 1 << 20}, nil, EINVAL)
			c.do(request{0, cmdWriteZeroes, 4, off, 1 << 20}, nil, ENOSPC)
			c.do(request{0, cmdBlockStatus, 5, off, 4096}, nil, EINVAL)
		}
		c.do(request{0, cmdFlush, 6, 0, 0}, nil, 0)
		c.do(request{0, cmdRead, 7, 0, 0}, nil, 0)
		c.conn.Close()
		other := dialRaw(t, s)
		other.negotiate(style, "b")
		other.alive()
		other.conn.Close()
	}
}

// contexts are those to ask for in a style of headers that has any.
func contexts(style headerStyle) []string {
	if style == headersSimple {
		return nil
	}
	return []string{contextAllocation}
}
