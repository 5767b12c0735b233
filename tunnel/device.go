// Package tunnel joins a stack to a program that carries IP packets itself, as a VPN
// does: to the stack it is a link, to the program it is a tun device that it reads
// from and writes to. Nothing of it is in the kernel, so it takes no rights.
//
// A [Device] has the methods of the tun.Device of wireguard-go
// (golang.zx2c4.com/wireguard/tun), whose type of events is a parameter, as this
// module does not import it:
//
//	dev, card := tunnel.New(tunnel.Config[tun.Event]{Up: tun.EventUp})
//	stack, err := gonet.New(gonet.Config{
//		Link:   card,
//		Addr:   netip.MustParsePrefix("10.9.0.2/32"),
//		Routes: []gonet.Route{{Prefix: netip.MustParsePrefix("0.0.0.0/0")}}, // all through the tunnel
//	})
//	wg := device.NewDevice(dev, conn.NewDefaultBind(), logger)
//
// From there stack.DialContext and stack.Listen are those of a host inside the VPN.
package tunnel

import (
	"fmt"
	"io"
	"os"

	"github.com/seed-012105e5/gonet/link"
	"github.com/seed-012105e5/gonet/packet"
)

// DefaultMTU is that of WireGuard: what is left of Ethernet's behind the headers of an
// outer IPv6, UDP and its own.
const DefaultMTU = 1420

// batch is how many packets Read hands over at a time at most.
const batch = 128

// Config says what the device is like. E is the type of its events.
type Config[E any] struct {
	Name string // empty means "tunnel"
	MTU  int    // the longest IP datagram, in bytes, from 68 to 65535; 0 means DefaultMTU

	// Up is the first event, which says that the device is up.
	Up E
}

// A Device is the program's end. Its methods may be called from any goroutine; Read
// from one at a time.
type Device[E any] struct {
	name   string
	far    link.Link        // the other end of the cable to the stack
	rest   []*packet.Buffer // cut from a train, and not read yet
	writer chan struct{}    // holds a token: whoever takes it may send on far.Tx, and close it
	closed chan struct{}
	events chan E
}

// New returns a device, and the link by which a stack uses it. Packets that the stack
// sends and the program does not read in time are dropped, as are those that the
// stack does not take in time.
func New[E any](cfg Config[E]) (*Device[E], link.Link) {
	if cfg.Name == "" {
		cfg.Name = "tunnel"
	}
	if cfg.MTU == 0 {
		cfg.MTU = DefaultMTU
	}
	near, far := link.Pipe(link.PipeConfig{Name: cfg.Name, MTU: cfg.MTU, IP: true})
	near.Name = cfg.Name
	d := &Device[E]{name: cfg.Name, far: far, writer: make(chan struct{}, 1), closed: make(chan struct{}), events: make(chan E, 1)}
	d.writer <- struct{}{}
	d.events <- cfg.Up
	return d, near
}

// Read waits for packets that the stack has sent, and copies them into bufs, each
// from offset on; sizes has their lengths. It returns how many there are, and
// os.ErrClosed when the device or the stack has been closed. A packet that does not
// fit its buf is dropped, with io.ErrShortBuffer.
func (d *Device[E]) Read(bufs [][]byte, sizes []int, offset int) (n int, err error) {
	if len(bufs) == 0 || len(sizes) < len(bufs) {
		return 0, fmt.Errorf("tunnel: Read with %d bufs and %d sizes", len(bufs), len(sizes))
	}
	for n < len(bufs) {
		if len(d.rest) == 0 && !d.receive(n == 0) {
			break
		}
		for n < len(bufs) && len(d.rest) > 0 {
			b := d.rest[0]
			d.rest = d.rest[1:]
			if offset > len(bufs[n]) || b.Len() > len(bufs[n])-offset {
				b.Release()
				return n, io.ErrShortBuffer
			}
			sizes[n] = copy(bufs[n][offset:], b.Bytes())
			b.Release()
			n++
		}
	}
	if n == 0 {
		return 0, os.ErrClosed
	}
	return n, nil
}

// receive takes a packet of the stack, or a train that it cuts, and says whether there
// was one. It waits for it if it may.
func (d *Device[E]) receive(wait bool) bool {
	d.rest = d.rest[:0]
	for len(d.rest) == 0 { // what cannot be cut is dropped
		var b *packet.Buffer
		var ok bool
		if wait {
			b, ok = <-d.far.Rx
		} else {
			select {
			case b, ok = <-d.far.Rx:
			default:
			}
		}
		if !ok {
			return false
		}
		link.CutIP(b, func(b *packet.Buffer) { d.rest = append(d.rest, b) })
	}
	return true
}

// Write gives the stack the packets in bufs, each from offset on, and returns how many
// it has taken. They are copied.
func (d *Device[E]) Write(bufs [][]byte, offset int) (int, error) {
	select {
	case <-d.writer:
	case <-d.closed:
		return 0, os.ErrClosed
	}
	defer func() { d.writer <- struct{}{} }()
	for i, p := range bufs {
		if offset > len(p) {
			return i, fmt.Errorf("tunnel: Write from %d on of %d bytes", offset, len(p))
		}
		if p = p[offset:]; len(p) > packet.MaxSize {
			return i, fmt.Errorf("tunnel: a packet of %d bytes: %d is the most", len(p), packet.MaxSize)
		}
		if len(p) > 0 {
			d.far.Tx <- packet.From(p)
		}
	}
	return len(bufs), nil
}

// Close ends the device, and with it the link: the stack has lost its carrier.
func (d *Device[E]) Close() error {
	select {
	case <-d.writer:
	case <-d.closed:
		return os.ErrClosed
	}
	close(d.closed)
	close(d.far.Tx)
	close(d.events)
	return nil
}

// MTU is the longest IP datagram, in bytes.
func (d *Device[E]) MTU() (int, error) { return d.far.MTU, nil }

// Name is that of the device.
func (d *Device[E]) Name() (string, error) { return d.name, nil }

// Events has the first event of the config. It is closed with the device.
func (d *Device[E]) Events() <-chan E { return d.events }

// BatchSize is how many packets Read hands over at a time at most.
func (d *Device[E]) BatchSize() int { return batch }

// File is nil: there is no file behind the device.
func (d *Device[E]) File() *os.File { return nil }
