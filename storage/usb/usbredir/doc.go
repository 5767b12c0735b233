// Package usbredir offers a USB device to a virtual machine by the USB network
// redirection protocol, version 0.7 (usb-redirection-protocol.md of spice-usbredir), over
// any connection. It is the usb-host of the protocol; QEMU is the usb-guest:
//
//	-device usb-ehci,id=usb -chardev socket,id=drive,host=127.0.0.1,port=4000,reconnect=1
//	-device usb-redir,chardev=drive,bus=usb.0,bootindex=0
//
// The firmware boots from it. Control, bulk and stream packets, ids of 64 bits and bulk
// lengths of 32 are there; isochronous and interrupt endpoints the device has not.
// [Server.Unplug] closes the connection, by which QEMU unplugs the device; with reconnect
// it comes again by itself.
//
// There is no authentication: serve at 127.0.0.1, or at a socket of the file system.
package usbredir
