// Package netdev makes the socket of a virtual machine's network card a link.Link:
// what QEMU calls -netdev stream and -netdev dgram, over unix sockets. That needs no
// shared memory, no tap and no root.
//
//	card, err := netdev.Listen("net.sock", netdev.Config{})
//	// qemu-system-x86_64 ... -netdev stream,id=n,server=off,addr.type=unix,addr.path=net.sock -device virtio-net-pci,netdev=n
//	stack, err := gonet.New(gonet.Config{Link: card, Addr: netip.MustParsePrefix("10.0.0.1/24")})
//
// Frames cross as they are on a wire: trains are cut and checksums completed before
// they are sent, and those that have arrived are joined to trains. Package vhost/vnet
// needs neither, and is faster.
package netdev
