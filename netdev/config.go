package netdev

import (
	"fmt"

	"github.com/seed-012105e5/gonet/link"
)

// A Config is a card. The zero value is a sensible one.
type Config struct {
	// Name is for people; "netdev" if it is empty.
	Name string

	// MAC is the address of this side of the link, not of the guest's, which the
	// virtual machine chooses; 02:00:00:00:00:01 if it is zero.
	MAC [6]byte

	// MTU is 1500 if it is 0.
	MTU int

	// Report is told why a virtual machine was left, or that none can be waited
	// for. One goroutine calls it. Nil means that they are not reported.
	Report func(error)
}

const (
	minMTU = 68 // RFC 791 section 3.2
	maxMTU = 65535
	tagLen = 4 // of IEEE 802.1Q, which counts for no MTU
)

// complete checks a Config, and fills in the zero values.
func (cfg Config) complete() (Config, error) {
	if cfg.Name == "" {
		cfg.Name = "netdev"
	}
	if cfg.MAC == [6]byte{} {
		cfg.MAC = [6]byte{2, 0, 0, 0, 0, 1}
	}
	if cfg.MTU == 0 {
		cfg.MTU = link.DefaultMTU
	}
	if cfg.Report == nil {
		cfg.Report = func(error) {}
	}
	switch {
	case cfg.MTU < minMTU || cfg.MTU > maxMTU:
		return cfg, fmt.Errorf("netdev: MTU %d: choose one from %d to %d, or 0 for %d", cfg.MTU, minMTU, maxMTU, link.DefaultMTU)
	case cfg.MAC[0]&1 != 0:
		return cfg, fmt.Errorf("netdev: MAC % x names a group of stations: choose one whose first byte is even", cfg.MAC)
	}
	return cfg, nil
}

// maxLen is how long a frame may be.
func (cfg Config) maxLen() int { return ethernetLen + tagLen + cfg.MTU }
