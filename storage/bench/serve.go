package main

import (
	"fmt"
	"net"
	"os"
	"os/signal"
	"runtime/pprof"
	"syscall"

	"github.com/seed-012105e5/gonet/storage/block"
	"github.com/seed-012105e5/gonet/storage/nbd"
)

// serveKind serves one device of the kind.
func serveKind(kind, address, path, profile string, size int64) error {
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
	l, err := net.Listen("tcp", address)
	if err != nil {
		return err
	}
	var s nbd.Server
	if err := s.Add(nbd.Export{Device: device}); err != nil {
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
	go func() {
		<-terminated
		s.Close()
	}()
	return s.Serve(l)
}

// null answers from nothing. Its value is its size.
type null int64

func (n null) ReadAt(p []byte, off int64) (int, error)  { return len(p), nil }
func (n null) WriteAt(p []byte, off int64) (int, error) { return len(p), nil }
func (n null) Size() (int64, error)                     { return int64(n), nil }
func (n null) Sync() error                              { return nil }
