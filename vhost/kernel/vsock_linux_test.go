package kernel_test

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"os"

	"golang.org/x/sys/unix"

	"github.com/seed-012105e5/gonet/internal/testing/guest"
	"github.com/seed-012105e5/gonet/vhost/kernel"
	"github.com/seed-012105e5/gonet/vhost/virtqueue"
)

// A vsockHeader goes before each packet (VIRTIO 1.2 section 5.10.6).
type vsockHeader struct {
	SrcCID, DstCID   uint64
	SrcPort, DstPort uint32
	Len              uint32
	Type, Op         uint16
	Flags            uint32
	BufAlloc, FwdCnt uint32
}

const (
	vsockHeaderLen = 44
	vsockPort      = 1234
	vsockCID       = 42

	opRequest      = 1
	opResponse     = 2
	opReset        = 3
	opShutdown     = 4
	opRW           = 5
	opCreditUpdate = 6

	vsockRoom = 0x1000 // of a buffer for a packet
)

// useVsock connects to a listener of the kernel's, as the guest's driver of a socket
// device does, and has it send back in capitals what it is sent.
func useVsock(*guest.Inside) error {
	served := make(chan error, 1)
	l, err := listenVsock()
	if err != nil {
		return err
	}
	defer unix.Close(l)
	go func() { served <- shout(l) }()

	d, err := kernel.OpenVsock()
	if err != nil {
		return err
	}
	defer d.Close()
	if err := d.Negotiate(virtqueue.Features, virtqueue.FeatureVersion1); err != nil {
		return err
	}
	m, err := newMachine()
	if err != nil {
		return err
	}
	defer m.close()
	if err := d.SetMemory(m.table); err != nil {
		return err
	}
	s := &vsockDriver{}
	if s.rx, err = m.addRing(d, 0, 8, d.Features); err != nil {
		return err
	}
	if s.tx, err = m.addRing(d, 1, 8, d.Features); err != nil {
		return err
	}
	for i := range 8 {
		if err := s.rx.offer(0, s.rx.span(i*vsockRoom, vsockRoom)); err != nil {
			return err
		}
	}
	if err := d.SetCID(vsockCID); err != nil {
		return err
	}
	if err := d.Run(true); err != nil {
		return err
	}
	if err := s.talk(); err != nil {
		return err
	}
	if err := <-served; err != nil {
		return err
	}
	if err := d.Run(false); err != nil {
		return err
	}
	if n, err := d.Base(1); err != nil || n == 0 {
		return fmt.Errorf("the ring for sending ended at %d, %v", n, err)
	}
	return nil
}

type vsockDriver struct{ rx, tx *ring }

func (s *vsockDriver) talk() error {
	if err := s.send(opRequest, 0, nil); err != nil {
		return err
	}
	if _, err := s.receive(opResponse); err != nil {
		return err
	}
	for range 3 {
		text := bytes.Repeat([]byte("hello host, "), 200)
		if err := s.send(opRW, 0, text); err != nil {
			return err
		}
		var got []byte
		for len(got) < len(text) {
			p, err := s.receive(opRW)
			if err != nil {
				return err
			}
			got = append(got, p...)
		}
		if !bytes.Equal(got, bytes.ToUpper(text)) {
			return fmt.Errorf("%q came back", got)
		}
	}
	return s.send(opShutdown, 3, nil) // neither receives nor sends any more
}

func (s *vsockDriver) send(op uint16, flags uint32, text []byte) error {
	h, err := binary.Append(nil, binary.LittleEndian, vsockHeader{
		SrcCID: vsockCID, DstCID: unix.VMADDR_CID_HOST, SrcPort: 99, DstPort: vsockPort,
		Len: uint32(len(text)), Type: 1, Op: op, Flags: flags, BufAlloc: 1 << 20,
	})
	if err != nil {
		return err
	}
	parts := [][]byte{h}
	if len(text) > 0 {
		parts = append(parts, text)
	}
	_, err = s.tx.do(parts)
	return err
}

// receive waits for a packet of a kind.
func (s *vsockDriver) receive(op uint16) ([]byte, error) {
	for {
		id, n, err := s.rx.take()
		if err != nil {
			return nil, err
		}
		p := bytes.Clone(s.rx.data(id*vsockRoom, n))
		if err := s.rx.offer(0, s.rx.span(id*vsockRoom, vsockRoom)); err != nil {
			return nil, err
		}
		var h vsockHeader
		if _, err := binary.Decode(p, binary.LittleEndian, &h); err != nil {
			return nil, err
		}
		switch {
		case h.SrcCID != unix.VMADDR_CID_HOST || h.DstCID != vsockCID || int(h.Len) != n-vsockHeaderLen:
			return nil, fmt.Errorf("a packet of %d bytes that is not for us: %+v", n, h)
		case h.Op == op:
			return p[vsockHeaderLen:], nil
		case h.Op != opCreditUpdate:
			return nil, fmt.Errorf("%+v instead of %d", h, op)
		}
	}
}

func listenVsock() (int, error) {
	fd, err := unix.Socket(unix.AF_VSOCK, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return -1, os.NewSyscallError("socket", err)
	}
	if err = unix.Bind(fd, &unix.SockaddrVM{CID: unix.VMADDR_CID_ANY, Port: vsockPort}); err == nil {
		err = unix.Listen(fd, 1)
	}
	if err != nil {
		unix.Close(fd)
	}
	return fd, err
}

// shout serves one connection.
func shout(l int) error {
	fd, from, err := unix.Accept4(l, unix.SOCK_CLOEXEC)
	if err != nil {
		return err
	}
	defer unix.Close(fd)
	if a, ok := from.(*unix.SockaddrVM); !ok || a.CID != vsockCID {
		return fmt.Errorf("a connection from %+v", from)
	}
	p := make([]byte, 4096)
	for {
		n, err := unix.Read(fd, p)
		if n <= 0 || err != nil {
			return err
		}
		for text := bytes.ToUpper(p[:n]); len(text) > 0; {
			n, err := unix.Write(fd, text)
			if err != nil {
				return err
			}
			text = text[n:]
		}
	}
}
