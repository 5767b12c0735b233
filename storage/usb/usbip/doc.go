// Package usbip exports USB devices by USB/IP 1.1.1, as the kernel's
// Documentation/usb/usbip_protocol.rst has it, over any listener: a kernel's or one of a
// stack of GoNet's.
//
//	var server usbip.Server
//	err := server.Add("1-1", device)
//	err = server.Serve(listener)
//
// A Linux machine attaches a device by
//
//	modprobe vhci-hcd
//	usbip attach -r HOST -b 1-1
//
// A device is imported by one host at a time; others are told that it is busy. The
// protocol has no word for unplugging: [Server.Unplug] and [Server.Remove] close the
// connection, which the host takes for that, and so does a host that detaches. A host
// does not attach again by itself.
//
// There is no authentication and no encryption: serve where only friends are, or put TLS
// or SSH around it.
//
// # Who owns what
//
// One goroutine reads a connection and submits transfers to the session of the device,
// another writes the answers. A host that does not read its answers makes the session
// stop taking transfers from it, and nobody else wait.
package usbip
