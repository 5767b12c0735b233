package main

import (
	"fmt"
	"net"
	"net/netip"
	"os"
	"os/signal"
	"runtime/pprof"
	"syscall"

	"github.com/seed-012105e5/gonet"
	"github.com/seed-012105e5/gonet/storage/block"
	"github.com/seed-012105e5/gonet/storage/nbd"
	"github.com/seed-012105e5/gonet/tap"
)

// serveKind serves one device of the kind, by the kernel's sockets or behind a tap.
func serveKind(kind, address, card, path, profile string, size int64, overISCSI bool) error {
	var device block.Device
	switch kind {
	case "memory":
		device = block.NewMemory(size)
	case "null":
		device = null(size)
	case "file":
		f, err := block.OpenFile(path, block.FileConfig{Create: true, Size: size})
		if err != nil {
			return err
		}
		device = f
	default:
		return fmt.Errorf("there is no server %q", kind)
	}
	l, err := listen(address, card)
	if err != nil {
		return err
	}
	if profile != "" {
		f, err := os.Create(profile + "." + kind)
		if err != nil {
			return err
		}
		defer f.Close()
		if err := pprof.StartCPUProfile(f); err != nil {
			return err
		}
		defer pprof.StopCPUProfile()
	}
	terminated := make(chan os.Signal, 1)
	signal.Notify(terminated, syscall.SIGTERM)
	if overISCSI {
		return serveISCSI(l, device, terminated)
	}
	var s nbd.Server
	if err := s.Add(nbd.Export{Device: device}); err != nil {
		return err
	}
	go func() {
		<-terminated
		s.Close()
	}()
	return s.Serve(l)
}

// listen listens at an address, of a stack behind a tap where one is named.
func listen(address, card string) (net.Listener, error) {
	if card == "" {
		return net.Listen("tcp", address)
	}
	at, err := netip.ParseAddrPort(address)
	if err != nil {
		return nil, err
	}
	t, err := tap.Open(tap.Config{Name: card, HostAddr: netip.PrefixFrom(at.Addr().Prev(), 24), Queues: tap.AutoQueues})
	if err != nil {
		return nil, err
	}
	stack, err := gonet.New(gonet.Config{Link: t, Addr: netip.PrefixFrom(at.Addr(), 24)})
	if err != nil {
		return nil, err
	}
	return stack.Listen("tcp", address)
}

// null answers from nothing. Its value is its size.
type null int64

func (n null) ReadAt(p []byte, off int64) (int, error)  { return len(p), nil }
func (n null) WriteAt(p []byte, off int64) (int, error) { return len(p), nil }
func (n null) Size() (int64, error)                     { return int64(n), nil }
func (n null) Sync() error                              { return nil }
