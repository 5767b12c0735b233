package admin

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"sync"
)

// DefaultAddress is where a server of this user listens: a socket in XDG_RUNTIME_DIR, or
// in the home directory if there is none.
func DefaultAddress() (string, error) {
	if dir := os.Getenv("XDG_RUNTIME_DIR"); dir != "" {
		return filepath.Join(dir, "gonet-iscsi.sock"), nil
	}
	home, err := os.UserHomeDir()
	return filepath.Join(home, ".gonet-iscsi.sock"), err
}

// Listen listens at an address as [NewClient] takes it. A socket of the file system has
// mode 0600 from the instant at which it can be found; one that nobody listens at any
// more is replaced. The end of the listener removes it.
func Listen(ctx context.Context, address string) (net.Listener, error) {
	network, place := split(address)
	if network != "unix" {
		return new(net.ListenConfig).Listen(ctx, network, place)
	}
	if c, err := net.Dial("unix", place); err == nil {
		c.Close()
		return nil, fmt.Errorf("somebody listens at %s already", place)
	}
	if info, err := os.Lstat(place); err == nil && info.Mode()&os.ModeSocket == 0 {
		return nil, fmt.Errorf("%s is there, and no socket", place)
	}
	// It is made in a directory that nobody else can enter, and moved to its place
	// with its mode.
	dir, err := os.MkdirTemp(filepath.Dir(place), ".s")
	if err != nil {
		return nil, err
	}
	defer os.RemoveAll(dir)
	hidden := filepath.Join(dir, "s")
	l, err := net.ListenUnix("unix", &net.UnixAddr{Name: hidden, Net: "unix"})
	if err != nil {
		return nil, err
	}
	l.SetUnlinkOnClose(false)
	if err := errors.Join(os.Chmod(hidden, 0o600), os.Rename(hidden, place)); err != nil {
		l.Close()
		return nil, err
	}
	return &socket{Listener: l, path: place}, nil
}

// A socket is a listener that takes its path away when it is closed.
type socket struct {
	net.Listener
	path string
	once sync.Once
}

func (s *socket) Close() error {
	s.once.Do(func() { os.Remove(s.path) })
	return s.Listener.Close()
}

// Addr is the path, not that at which it was made.
func (s *socket) Addr() net.Addr { return &net.UnixAddr{Name: s.path, Net: "unix"} }
