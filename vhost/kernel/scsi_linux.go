package kernel

import (
	"fmt"

	"github.com/seed-012105e5/gonet/vhost"
)

// A SCSI is an adapter before a target of the kernel's (/dev/vhost-scsi). Of its rings
// 0 is for task management, 1 for events, and the others are for commands (VIRTIO 1.2
// section 5.6.2).
type SCSI struct{ *Device }

// OpenSCSI opens one.
func OpenSCSI() (SCSI, error) {
	d, err := open("/dev/vhost-scsi")
	return SCSI{d}, err
}

// wwpnLen is how long the name of a port may be, with a zero byte (TRANSPORT_IQN_LEN).
const wwpnLen = 224

// SetEndpoint ties the adapter to a portal group of a target, which configfs has
// under target/vhost: all rings that were set up run.
func (s SCSI) SetEndpoint(wwpn string, group uint16) error {
	return s.endpoint(scsiSetEndpoint, wwpn, group)
}

// ClearEndpoint unties it: the rings stop.
func (s SCSI) ClearEndpoint(wwpn string, group uint16) error {
	return s.endpoint(scsiClearEndpoint, wwpn, group)
}

func (s SCSI) endpoint(number ioctl, wwpn string, group uint16) error {
	var name [wwpnLen]byte
	if len(wwpn) >= wwpnLen {
		return fmt.Errorf("%w: a name of %d bytes", vhost.ErrRefused, len(wwpn))
	}
	copy(name[:], wwpn)
	version, err := s.get32(scsiGetABIVersion)
	if err != nil {
		return err
	}
	return s.set(number, version, name, group, uint16(0))
}
