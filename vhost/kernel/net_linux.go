package kernel

// A Net is a network card at a tap (/dev/vhost-net). Its rings are those of a
// virtio-net device of one queue (VIRTIO 1.2 section 5.1.2): 0 for what the driver
// receives, 1 for what it sends.
type Net struct{ *Device }

// OpenNet opens one.
func OpenNet() (Net, error) {
	d, err := open("/dev/vhost-net")
	return Net{d}, err
}

// SetTap has a ring that was set up run, with the frames of a tap, which must have
// virtio-net headers (IFF_VNET_HDR) as long as those of the ring. A file descriptor of
// -1 stops it.
func (n Net) SetTap(ring, fd int) error { return n.set(netSetBackend, vringFile(ring, fd)) }
