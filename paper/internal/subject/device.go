package subject

import (
	"fmt"
	"net"
	"os"

	"golang.org/x/sys/unix"

	"github.com/seed-012105e5/gonet/internal/netlink"
)

// ourMAC is the address of a stack that is not told one otherwise.
var ourMAC = [6]byte{2, 0, 0, 0, 0, 2}

// vnetLen is the length of the virtio-net header of an offload tap and of a
// packet socket.
const vnetLen = 10

// openTap makes the tap device Device in this namespace, gives the kernel's end
// the peer's address, and returns our end, which does not block.
func openTap(cfg Config, offload bool) (fd int, err error) {
	fd, err = unix.Open("/dev/net/tun", unix.O_RDWR|unix.O_CLOEXEC|unix.O_NONBLOCK, 0)
	if err != nil {
		return -1, &os.PathError{Op: "open", Path: "/dev/net/tun", Err: err}
	}
	err = attachTap(fd, offload)
	if err == nil {
		err = setUpPeer(cfg)
	}
	if err != nil {
		unix.Close(fd)
		return -1, err
	}
	return fd, nil
}

func attachTap(fd int, offload bool) error {
	request, err := unix.NewIfreq(Device)
	if err != nil {
		return err
	}
	flags, offloads := uint16(unix.IFF_TAP|unix.IFF_NO_PI), 0
	if offload {
		flags, offloads = flags|unix.IFF_VNET_HDR, unix.TUN_F_CSUM|unix.TUN_F_TSO4|unix.TUN_F_TSO_ECN
	}
	request.SetUint16(flags)
	if err := unix.IoctlIfreq(fd, unix.TUNSETIFF, request); err != nil {
		return os.NewSyscallError("TUNSETIFF", err)
	}
	return os.NewSyscallError("TUNSETOFFLOAD", unix.IoctlSetInt(fd, unix.TUNSETOFFLOAD, offloads))
}

// setUpPeer gives the kernel's end of the tap its address, and brings it up.
func setUpPeer(cfg Config) error {
	i, err := net.InterfaceByName(Device)
	if err != nil {
		return fmt.Errorf("%s: %w", Device, err)
	}
	c, err := netlink.Dial()
	if err != nil {
		return err
	}
	defer c.Close()
	if err := c.AddAddr(i.Index, cfg.Peer); err != nil {
		return err
	}
	return c.SetUp(i.Index)
}

// openPacket opens a packet socket on the end of a veth that is ours. With it
// go virtio-net headers, so that TCP crosses the veth in trains of 64 KB with
// checksums left undone. It returns the MAC address of that end too.
func openPacket() (fd int, mac [6]byte, err error) {
	i, err := net.InterfaceByName(Device)
	if err != nil {
		return -1, mac, fmt.Errorf("%s: %w", Device, err)
	}
	copy(mac[:], i.HardwareAddr)
	fd, err = unix.Socket(unix.AF_PACKET, unix.SOCK_RAW|unix.SOCK_CLOEXEC|unix.SOCK_NONBLOCK, 0)
	if err != nil {
		return -1, mac, os.NewSyscallError("socket", err)
	}
	const buffer = 8 << 20
	for _, o := range []struct {
		name                 string
		level, option, value int
	}{
		{"PACKET_VNET_HDR", unix.SOL_PACKET, unix.PACKET_VNET_HDR, 1},
		{"PACKET_IGNORE_OUTGOING", unix.SOL_PACKET, unix.PACKET_IGNORE_OUTGOING, 1},
		{"SO_RCVBUFFORCE", unix.SOL_SOCKET, unix.SO_RCVBUFFORCE, buffer},
		{"SO_SNDBUFFORCE", unix.SOL_SOCKET, unix.SO_SNDBUFFORCE, buffer},
	} {
		if err := unix.SetsockoptInt(fd, o.level, o.option, o.value); err != nil {
			unix.Close(fd)
			return -1, mac, os.NewSyscallError(o.name, err)
		}
	}
	const all = unix.ETH_P_ALL<<8 | unix.ETH_P_ALL>>8 // in the byte order of the network
	if err := unix.Bind(fd, &unix.SockaddrLinklayer{Protocol: all & 0xffff, Ifindex: i.Index}); err != nil {
		unix.Close(fd)
		return -1, mac, os.NewSyscallError("bind", err)
	}
	return fd, mac, nil
}
