package netdev

import (
	"context"
	"errors"
	"net"
	"os"
	"time"

	"github.com/seed-012105e5/gonet/link"
)

// OpenDatagram makes a unix socket of datagrams at local, and a link to the virtual
// machine that has one at remote (QEMU: -netdev dgram,local.type=unix,
// local.path=REMOTE,remote.type=unix,remote.path=LOCAL). Each frame is a datagram.
// There is no connection: frames that are sent while the virtual machine is not there
// are dropped, and counted as DropTxError. A socket at local that nobody has any more
// makes room. Closing Tx ends the link, and removes the socket.
func OpenDatagram(local, remote string, cfg Config) (link.Link, error) {
	cfg, err := cfg.complete()
	if err != nil {
		return link.Link{}, err
	}
	addr := &net.UnixAddr{Net: "unixgram", Name: local}
	c, err := bind(addr, net.ListenUnixgram)
	if err != nil {
		return link.Link{}, err
	}
	for _, set := range []func(int) error{c.SetReadBuffer, c.SetWriteBuffer} {
		if err := set(bufferLen); err != nil {
			c.Close()
			os.Remove(local)
			return link.Link{}, err
		}
	}
	return start(cfg, &datagramPort{c: c, remote: &net.UnixAddr{Net: "unixgram", Name: remote}}), nil
}

// bufferLen is how many bytes of frames wait in the kernel, each way, as far as that
// lets them.
const bufferLen = 1 << 20

// A datagramPort is one socket, which is there for any number of virtual machines.
type datagramPort struct {
	c      *net.UnixConn
	remote *net.UnixAddr
	given  bool
}

func (p *datagramPort) next(ctx context.Context) (wire, error) {
	if p.given {
		<-ctx.Done() // its wire has ended, as the card does
		return nil, ctx.Err()
	}
	p.given = true
	return &datagrams{c: p.c, remote: p.remote, mem: make([]byte, maxFrame+1)}, nil
}

func (p *datagramPort) close() {
	p.c.Close()
	os.Remove(p.c.LocalAddr().String())
}

// datagrams is the wire of a datagramPort.
type datagrams struct {
	c      *net.UnixConn
	remote *net.UnixAddr
	mem    []byte
	in     []byte // the frame that was received
	have   bool   // and not taken
	out    []byte // the frame that was added
	wait   bool   // and not sent
}

func (d *datagrams) receive() error {
	n, err := d.c.Read(d.mem)
	if err == nil {
		d.in, d.have = d.mem[:n], true
	}
	return err
}

func (d *datagrams) frame() ([]byte, bool, error) {
	ok := d.have
	d.have = false
	return d.in, ok, nil
}

func (d *datagrams) full() bool { return d.wait }

func (d *datagrams) add(frame []byte) { d.out, d.wait = append(d.out[:0], frame...), true }

// flush sends the frame, or loses it where nobody is.
func (d *datagrams) flush(deadline time.Time) (lost int, err error) {
	if !d.wait {
		return 0, nil
	}
	d.c.SetWriteDeadline(deadline)
	_, err = d.c.WriteToUnix(d.out, d.remote)
	if errors.Is(err, os.ErrDeadlineExceeded) {
		return 0, err
	}
	d.wait = false
	if err != nil && !errors.Is(err, net.ErrClosed) {
		return 1, nil // the next one finds somebody, perhaps
	}
	return 0, err
}

func (d *datagrams) Close() error { return d.c.Close() }
