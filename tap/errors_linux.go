package tap

import (
	"errors"
	"fmt"
	"io/fs"
	"os"

	"golang.org/x/sys/unix"
)

// Each error says what to do. All of them satisfy errors.Is for the error of
// the kernel.

// explainNode is about the opening of /dev/net/tun.
func explainNode(err error) error {
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return fmt.Errorf("tap: %s is missing: load the kernel's module with sudo modprobe tun; start a container with --device %s: %w", node, node, err)
	case errors.Is(err, unix.ENODEV), errors.Is(err, unix.ENXIO):
		return fmt.Errorf("tap: the kernel has no driver behind %s: load it with sudo modprobe tun: %w", node, err)
	case errors.Is(err, fs.ErrPermission):
		return fmt.Errorf("tap: this user may not open %s: let everybody do so with sudo chmod 666 %s (to make a tap takes more rights), or run the program with sudo: %w", node, node, err)
	}
	return fmt.Errorf("tap: open %s: %w", node, err)
}

// explainAttach is about a tap that cannot be made, or, when an interface of
// its name exists, not be attached to.
func explainAttach(name string, exists bool, err error) error {
	switch {
	case exists && errors.Is(err, fs.ErrPermission):
		return fmt.Errorf("tap: %s belongs to another user: give it to this one with sudo ip tuntap del dev %s mode tap; sudo ip tuntap add dev %s mode tap multi_queue user %d: %w", name, name, name, os.Getuid(), err)
	case errors.Is(err, fs.ErrPermission):
		return fmt.Errorf("tap: this program may not make a tap. Three ways out: run it with sudo; or give it the right with sudo setcap cap_net_admin+ep PROGRAM; or run it in a private network of its own, as examples/httpd does with -rootless: %w", err)
	case errors.Is(err, unix.EBUSY):
		return fmt.Errorf("tap: %s is held by another program: end that one, or choose another name: %w", name, err)
	case exists && errors.Is(err, unix.EINVAL):
		return fmt.Errorf("tap: an interface %s is there already, and is no tap: choose another name: %w", name, err)
	}
	return fmt.Errorf("tap: %s: %w", name, err)
}

// explainHost is about the host's side of a tap.
func explainHost(name string, err error) error {
	if errors.Is(err, fs.ErrPermission) {
		return fmt.Errorf("tap: this program may not set up the host's side of %s: set it up beforehand with sudo ip addr add ADDRESS/BITS dev %s; sudo ip link set %s up; or run the program with sudo: %w", name, name, name, err)
	}
	return fmt.Errorf("tap: host's side of %s: %w", name, err)
}
