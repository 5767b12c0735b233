package scsi

import (
	"errors"
	"fmt"
	"sync"
	"sync/atomic"

	"github.com/seed-012105e5/gonet/storage/block"
	"github.com/seed-012105e5/gonet/storage/internal/rangelock"
)

// A Type is a peripheral device type (SPC-4 6.6.2).
type Type uint8

const (
	Disk  Type = 0x00 // direct access block device, SBC-3
	CDROM Type = 0x05 // MMC-5
)

// A Store keeps what of a unit must outlive the process: saved mode pages, and
// registrations that persist. Save returns when the state is durable; Load returns nil
// if there is none. Neither is called for one unit twice at the same time.
type Store interface {
	Load() ([]byte, error)
	Save(state []byte) error
}

// UnitConfig says what a unit is. Zero values mean what is said.
type UnitConfig struct {
	Type Type

	// Disk is the medium. Without one, a Removable unit has none at first.
	Disk *block.Disk

	// BlockSize is the size of a logical block in bytes, a power of two from 512 to
	// 65536: 512, for a CDROM 2048. The rest of a device that fills no block is not
	// seen.
	BlockSize int

	Vendor   string // at most 8 ASCII characters: "GONET"
	Product  string // at most 16: "VIRTUAL-DISK" or "VIRTUAL-CDROM"
	Revision string // at most 4: "1"
	Serial   string // at most 64: "0"

	// Identifier is the unit's name in the world, an NAA IEEE Registered Extended or
	// locally assigned designator is made of it. It must differ from unit to unit;
	// initiators take units of the same identifier for two ways to the same unit. By
	// default it is made from Vendor, Product and Serial.
	Identifier string

	// PhysicalBlock is the size in bytes that writes should be aligned to, a power of two:
	// 4096, or BlockSize if that is larger.
	PhysicalBlock int

	Removable bool // the medium can be taken out; a CDROM's always
	ReadOnly  bool // the medium is write protected, whatever the disk says

	// WriteThrough has WCE be zero at first: a write is durable when it has ended.
	WriteThrough bool

	// MaxTransfer is the longest transfer of one command in bytes: 8 MB.
	MaxTransfer int

	// Store, if set, keeps saved mode pages and persistent reservations.
	Store Store

	// OnEject, if set, is called when an initiator has ejected the medium, or loaded one
	// that was ejected, before the initiator learns that it has. It may call Eject, to
	// keep the disk, and Insert.
	OnEject func(load bool)
}

const (
	defaultMaxTransfer = 8 << 20
	largestMaxTransfer = 64 << 20
)

// A Unit is a logical unit. Its methods may be called at the same time.
type Unit struct {
	config   UnitConfig // complete, and fixed
	shift    uint       // log2 of the block size
	commands *commandSet

	ranges  *rangelock.Table // of blocks that are worked on
	buffers sync.Pool        // of *[bufferSize]byte

	// token is held by whoever owns the state.
	token chan struct{}
	state state

	saving chan struct{} // the token of who calls the store
}

// state is what of a unit changes. It belongs to whoever holds the unit's token, for
// steps in which nothing blocks.
type state struct {
	links   []*link
	begun   uint64 // the number of the task that was begun last
	waiters []waiter

	medium  *medium // nil if there is none
	ejected bool    // the medium is there, but not in: START STOP UNIT takes it in again

	pages, savedPages modePages
	reservations      reservations
}

// A medium is what a unit reads and writes. All but size and blocks is fixed.
type medium struct {
	disk      *block.Disk
	info      block.Info
	readOnly  bool
	immediate bool         // calls of the device do not wait
	size      atomic.Int64 // in bytes, as the disk has told last
	blocks    uint64       // belongs to the unit's state
	stop      func()       // of the notices of its size
}

// NewUnit makes a unit. It reads the store.
func NewUnit(c UnitConfig) (*Unit, error) {
	if err := c.complete(); err != nil {
		return nil, err
	}
	u := &Unit{
		config: c, commands: commandsOf(c.Type), ranges: rangelock.New(),
		token: make(chan struct{}, 1), saving: make(chan struct{}, 1),
	}
	for 1<<u.shift < c.BlockSize {
		u.shift++
	}
	u.state.savedPages = newModePages(&u.config)
	u.state.pages = u.state.savedPages
	if err := u.restore(); err != nil {
		return nil, err
	}
	if c.Disk != nil {
		m, err := u.mount(c.Disk)
		if err != nil {
			return nil, err
		}
		u.state.medium = m
	}
	return u, nil
}

// complete checks the configuration and fills in what is not set.
func (c *UnitConfig) complete() error {
	product := "VIRTUAL-DISK"
	size := 512
	switch c.Type {
	case Disk:
	case CDROM:
		product, size = "VIRTUAL-CDROM", 2048
		c.Removable, c.ReadOnly = true, true
	default:
		return fmt.Errorf("scsi: there are no units of type %02Xh", uint8(c.Type))
	}
	if c.BlockSize == 0 {
		c.BlockSize = size
	}
	if c.BlockSize < 512 || c.BlockSize > 64<<10 || c.BlockSize&(c.BlockSize-1) != 0 {
		return fmt.Errorf("scsi: a block size of %d bytes is not a power of two from 512 to 65536", c.BlockSize)
	}
	if c.PhysicalBlock == 0 {
		c.PhysicalBlock = max(c.BlockSize, 4096)
	}
	if n := c.PhysicalBlock; n < c.BlockSize || n > 1<<20 || n&(n-1) != 0 {
		return fmt.Errorf("scsi: a physical block of %d bytes is not a power of two from %d to 1 MB", n, c.BlockSize)
	}
	if c.Disk == nil && !c.Removable {
		return errors.New("scsi: a unit without a disk whose medium is not removable")
	}
	for _, s := range []struct {
		of    string
		to    *string
		value string
		most  int
	}{
		{"vendor", &c.Vendor, "GONET", 8},
		{"product", &c.Product, product, 16},
		{"revision", &c.Revision, "1", 4},
		{"serial number", &c.Serial, "0", 64},
	} {
		if *s.to == "" {
			*s.to = s.value
		}
		if len(*s.to) > s.most {
			return fmt.Errorf("scsi: the %s %q has more than %d characters", s.of, *s.to, s.most)
		}
		for _, ch := range []byte(*s.to) {
			if ch < 0x20 || ch > 0x7e {
				return fmt.Errorf("scsi: the %s %q is not printable ASCII", s.of, *s.to)
			}
		}
	}
	if c.Identifier == "" {
		c.Identifier = c.Vendor + "\x00" + c.Product + "\x00" + c.Serial
	}
	if c.MaxTransfer == 0 {
		c.MaxTransfer = defaultMaxTransfer
	}
	if c.MaxTransfer < c.BlockSize || c.MaxTransfer > largestMaxTransfer {
		return fmt.Errorf("scsi: a longest transfer of %d bytes is not from %d to %d", c.MaxTransfer, c.BlockSize, largestMaxTransfer)
	}
	c.MaxTransfer -= c.MaxTransfer % c.BlockSize
	return nil
}

func (u *Unit) lock()   { u.token <- struct{}{} }
func (u *Unit) unlock() { <-u.token }

// Type is the unit's type.
func (u *Unit) Type() Type { return u.config.Type }

// BlockSize is the size of a logical block in bytes.
func (u *Unit) BlockSize() int { return u.config.BlockSize }
