package udp

import (
	"bytes"
	"errors"
	"net"
	"net/netip"
	"os"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"github.com/seed-012105e5/gonet/ip"
	"github.com/seed-012105e5/gonet/ipv4"
	"github.com/seed-012105e5/gonet/packet"
)

// sent takes what was sent, and parses it.
func (r *rig) sent(t *testing.T) (ipv4.Header, Header) {
	t.Helper()
	synctest.Wait()
	if len(r.tx) == 0 {
		t.Fatal("nothing was sent")
	}
	b := <-r.tx
	defer b.Release()
	if b.Checksum != packet.ChecksumPartial {
		t.Errorf("checksum state %v: no device can help", b.Checksum)
	}
	b.CompleteChecksum()
	deliver(t, b)
	if _, err := Parse(b); err != nil {
		t.Fatal(err)
	}
	ip := ipv4.Header(bytes.Clone(b.Network()))
	return ip, Header(ip.Payload())
}

// RFC1122-4.1.3.2-2, RFC1122-4.1.4-2: the application sets TTL, TOS and options, and they are passed down.
func TestWriteOptions(t *testing.T) {
	bubble(t, func(t *testing.T) {
		r := start(t, testConfig(t))
		c := r.dial(t, "0.0.0.0:1000", "10.0.0.9:53")
		write := func() ipv4.Header {
			t.Helper()
			if n, err := c.Write([]byte("hello")); n != 5 || err != nil {
				t.Fatal(n, err)
			}
			ip, udp := r.sent(t)
			if ip.Src() != self || ip.Dst() != peer || udp.SrcPort() != 1000 || udp.DstPort() != 53 || string(udp.Data()) != "hello" {
				t.Errorf("%v %v", ip, udp)
			}
			return ip
		}
		if ip := write(); ip.TTL() != ipv4.DefaultTTL || ip.TOS() != 0 || ip.DF() || len(ip.Options()) > 0 {
			t.Errorf("at first: %v", ip)
		}
		options := []byte{148, 4, 0, 0}
		c.SetTTL(9)
		c.SetTOS(0xb8)
		c.SetDF(true)
		if err := c.SetOptions(options); err != nil {
			t.Fatal(err)
		}
		options[0] = 0 // the socket has a copy
		if ip := write(); ip.TTL() != 9 || ip.TOS() != 0xb8 || !ip.DF() || !bytes.Equal(ip.Options(), []byte{148, 4, 0, 0}) {
			t.Errorf("set: %v, options %v", ip, ip.Options())
		}
		if _, err := c.Write(make([]byte, 1500-20-4-8)); err != nil {
			t.Errorf("a full frame: %v", err)
		}
		r.sent(t)
		if _, err := c.Write(make([]byte, 1500-20-4-8+1)); !errors.Is(err, syscall.EMSGSIZE) {
			t.Errorf("DF, and longer than the MTU: %v", err)
		}
		c.SetDF(false)
		if _, err := c.Write(make([]byte, MaxSize-4)); err != nil {
			t.Errorf("the longest: %v", err)
		}
		r.sent(t)
		if _, err := c.Write(make([]byte, MaxSize-3)); !errors.Is(err, syscall.EMSGSIZE) {
			t.Errorf("longer than the longest: %v", err)
		}
		for _, bad := range []int{3, 44} {
			if err := c.SetOptions(make([]byte, bad)); !errors.Is(err, syscall.EINVAL) {
				t.Errorf("%d bytes of options: %v", bad, err)
			}
		}
	})
}

// RFC1122-4.1.3.5-2, RFC1122-4.1.3.6-2: the source is the address that the socket
// is bound to, or the one that the route starts at, or one of the user's
// choice, but always one of the host's.
func TestWriteSource(t *testing.T) {
	bubble(t, func(t *testing.T) {
		r := start(t, testConfig(t))
		for _, test := range []struct {
			bound, local, remote string
			src, dst             string
			ttl                  uint8
			err                  error
		}{
			{"0.0.0.0:1", "", "10.0.0.9:53", "10.0.0.2", "10.0.0.9", 64, nil},
			{"0.0.0.0:1", "", "172.16.3.4:53", "172.16.0.2", "172.16.3.4", 64, nil},
			{"0.0.0.0:1", "", "0.0.0.0:53", "127.0.0.1", "127.0.0.1", 64, nil},
			{"0.0.0.0:1", "", "[::ffff:10.0.0.9]:53", "10.0.0.2", "10.0.0.9", 64, nil},
			{"0.0.0.0:1", "", "255.255.255.255:53", "10.0.0.2", "255.255.255.255", 64, nil},
			{"0.0.0.0:1", "", "172.16.255.255:53", "172.16.0.2", "172.16.255.255", 64, nil},
			{"0.0.0.0:1", "", "239.1.2.3:53", "10.0.0.2", "239.1.2.3", 1, nil},
			{"172.16.0.2:1", "", "10.0.0.9:53", "172.16.0.2", "10.0.0.9", 64, nil},
			{"239.1.2.3:1", "", "10.0.0.9:53", "10.0.0.2", "10.0.0.9", 64, nil},
			{"10.0.0.255:1", "", "10.0.0.9:53", "10.0.0.2", "10.0.0.9", 64, nil},
			{"0.0.0.0:1", "172.16.0.2", "10.0.0.9:53", "172.16.0.2", "10.0.0.9", 64, nil},
			{"0.0.0.0:1", "::ffff:172.16.0.2", "10.0.0.9:53", "172.16.0.2", "10.0.0.9", 64, nil},
			{"0.0.0.0:1", "10.0.0.3", "10.0.0.9:53", "", "", 0, syscall.EADDRNOTAVAIL},
			{"0.0.0.0:1", "239.1.2.3", "10.0.0.9:53", "", "", 0, syscall.EADDRNOTAVAIL},
			{"127.0.0.1:1", "", "10.0.0.9:53", "", "", 0, syscall.EINVAL},
			{"0.0.0.0:1", "", "10.0.0.9:0", "", "", 0, syscall.EINVAL},
		} {
			c := r.listen(t, test.bound)
			var local netip.Addr
			if test.local != "" {
				local = netip.MustParseAddr(test.local)
			}
			n, err := c.WriteFromTo([]byte("hello"), local, addr(test.remote))
			if !errors.Is(err, test.err) || (err == nil) != (test.err == nil) {
				t.Errorf("%s to %s: %v, want %v", test.bound, test.remote, err, test.err)
			}
			if err == nil {
				if ip, _ := r.sent(t); n != 5 || ip.Src().String() != test.src || ip.Dst().String() != test.dst || ip.TTL() != test.ttl {
					t.Errorf("%s to %s: %v", test.bound, test.remote, ip)
				}
			}
			c.Close()
		}
	})
}

func TestMulticastTTL(t *testing.T) {
	bubble(t, func(t *testing.T) {
		r := start(t, testConfig(t))
		c := r.listen(t, "0.0.0.0:1")
		c.SetTTL(99)
		c.SetMulticastTTL(7)
		c.WriteToAddrPort(nil, addr("239.1.2.3:53"))
		if ip, udp := r.sent(t); ip.TTL() != 7 || udp.Len() != HeaderLen {
			t.Errorf("%v %v", ip, udp)
		}
	})
}

// A host without an address may ask everybody for one (RFC1122-3.2.1.3), and
// has no way to anybody else.
func TestWriteWithoutAddress(t *testing.T) {
	bubble(t, func(t *testing.T) {
		table, err := ip.NewTable([]ip.Interface{{}}, nil)
		if err != nil {
			t.Fatal(err)
		}
		r := start(t, Config{Table: ip.Publish(table)})
		c := r.listen(t, "0.0.0.0:68")
		if _, err := c.WriteToAddrPort(nil, addr("255.255.255.255:67")); err != nil {
			t.Fatal(err)
		}
		if ip, _ := r.sent(t); !ip.Src().IsUnspecified() {
			t.Errorf("%v", ip)
		}
		if _, err := c.WriteToAddrPort(nil, addr("10.0.0.1:67")); !errors.Is(err, syscall.ENETUNREACH) {
			t.Errorf("%v", err)
		}
	})
}

// Which call fits which socket, as in package net.
func TestWriteMisused(t *testing.T) {
	bubble(t, func(t *testing.T) {
		r := start(t, testConfig(t))
		bound, connected := r.listen(t, "0.0.0.0:1"), r.dial(t, "", "10.0.0.9:53")
		to := &net.UDPAddr{IP: net.IPv4(10, 0, 0, 9), Port: 53}
		if _, err := bound.Write(nil); !errors.Is(err, syscall.EDESTADDRREQ) {
			t.Errorf("write without an address: %v", err)
		}
		if _, err := connected.WriteTo(nil, to); !errors.Is(err, net.ErrWriteToConnected) {
			t.Errorf("connected, and an address: %v", err)
		}
		if _, err := bound.WriteTo(nil, &net.TCPAddr{IP: to.IP, Port: 53}); !errors.Is(err, syscall.EINVAL) {
			t.Errorf("an address of TCP: %v", err)
		}
		if _, err := bound.WriteTo(nil, (*net.UDPAddr)(nil)); err == nil || err.Error() != "write udp 0.0.0.0:1: missing address" {
			t.Errorf("no address: %v", err)
		}
		_, err := bound.WriteTo(make([]byte, 70000), to)
		if want := "write udp 0.0.0.0:1->10.0.0.9:53: sendto: message too long"; err == nil || err.Error() != want {
			t.Errorf("%v, want %s", err, want)
		}
	})
}

// A write that waits for the transmit queue ends with its deadline, and with
// Close.
func TestWriteWaits(t *testing.T) {
	bubble(t, func(t *testing.T) {
		r := start(t, testConfig(t))
		c := r.dial(t, "", "10.0.0.9:53")
		for range cap(r.tx) {
			c.Write(nil)
		}
		wait := func() (<-chan error, time.Time) {
			e := make(chan error, 1)
			go func() {
				_, err := c.Write([]byte("x"))
				e <- err
			}()
			synctest.Wait()
			return e, time.Now()
		}
		e, began := wait()
		c.SetWriteDeadline(time.Now().Add(time.Second))
		if err := <-e; !errors.Is(err, os.ErrDeadlineExceeded) || time.Since(began) != time.Second {
			t.Errorf("%v after %v", err, time.Since(began))
		}
		c.SetWriteDeadline(time.Time{})
		e, _ = wait()

		(<-r.tx).Release()
		if err := <-e; err != nil {
			t.Error(err)
		}
		e, _ = wait()
		c.Close()
		if err := <-e; !errors.Is(err, net.ErrClosed) {
			t.Error(err)
		}
	})
}
