package kernel

// A Vsock is a socket device towards the sockets of the host's (/dev/vhost-vsock). Of
// its rings 0 is for what the driver receives, and 1 for what it sends; that for
// events is not the kernel's (VIRTIO 1.2 section 5.10.2).
type Vsock struct{ *Device }

// OpenVsock opens one.
func OpenVsock() (Vsock, error) {
	d, err := open("/dev/vhost-vsock")
	return Vsock{d}, err
}

// SetCID is the address of the driver's, from 3 on, which nobody else may have.
func (v Vsock) SetCID(cid uint64) error { return v.set(vsockSetGuestCID, cid) }

// Run has both rings run, or stop.
func (v Vsock) Run(on bool) error {
	n := int32(0)
	if on {
		n = 1
	}
	return v.set(vsockSetRunning, n)
}
