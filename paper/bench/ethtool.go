package main

import (
	"fmt"
	"os"
	"runtime"
	"unsafe"

	"golang.org/x/sys/unix"

	"github.com/seed-012105e5/gonet/internal/testing/netns"
)

// ethtoolValue is struct ethtool_value of linux/ethtool.h.
type ethtoolValue struct{ command, data uint32 }

// turnOffOffloads has a device send and receive frames of its MTU only, with
// complete checksums, as ethtool -K does.
func turnOffOffloads(ns *netns.NS, device string) error {
	return ns.Do(func() error {
		fd, err := unix.Socket(unix.AF_INET, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC, 0)
		if err != nil {
			return os.NewSyscallError("socket", err)
		}
		defer unix.Close(fd)
		for _, c := range []struct {
			name    string
			command uint32
		}{
			{"TSO", unix.ETHTOOL_STSO}, {"GSO", unix.ETHTOOL_SGSO}, {"GRO", unix.ETHTOOL_SGRO},
			{"transmit checksums", unix.ETHTOOL_STXCSUM}, {"receive checksums", unix.ETHTOOL_SRXCSUM},
		} {
			if err := ethtool(fd, device, ethtoolValue{command: c.command}); err != nil {
				return fmt.Errorf("%s: turn off %s: %w", device, c.name, err)
			}
		}
		return nil
	})
}

func ethtool(fd int, device string, v ethtoolValue) error {
	var request struct { // struct ifreq of linux/if.h
		name [unix.IFNAMSIZ]byte
		data unsafe.Pointer
		_    [16]byte
	}
	copy(request.name[:unix.IFNAMSIZ-1], device)
	request.data = unsafe.Pointer(&v)
	_, _, errno := unix.Syscall(unix.SYS_IOCTL, uintptr(fd), unix.SIOCETHTOOL, uintptr(unsafe.Pointer(&request)))
	runtime.KeepAlive(&v)
	if errno != 0 {
		return os.NewSyscallError("SIOCETHTOOL", errno)
	}
	return nil
}
