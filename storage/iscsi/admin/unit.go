package admin

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"runtime"

	"github.com/seed-012105e5/gonet/storage/block"
	"github.com/seed-012105e5/gonet/storage/block/spec"
	"github.com/seed-012105e5/gonet/storage/scsi"
)

// UnitUsage describes the options of units in lines of text, as spec.Set.Usage does
// those of disks.
const UnitUsage = `  of units
    ,type=disk|cdrom           what it is
    ,blocksize=SIZE            bytes of a logical block; 512, of a CD-ROM 2048
    ,removable                 the medium can be ejected
    ,writethrough              a write is durable when it has ended
    ,serial=TEXT               the serial number
    ,state=FILE                keeps saved mode pages and persistent reservations
`

// A unit is a logical unit and its disk.
type unit struct {
	unit *scsi.Unit
	disk *block.Disk
	lun  LUN
	in   int // how many targets have it
}

// splitUnit takes a description of a unit apart into that of the disk and the rest.
// identity makes a serial number if there is none.
func splitUnit(text, identity string) (disk spec.Spec, c scsi.UnitConfig, err error) {
	p, err := spec.Parse(text)
	if err != nil {
		return p, c, err
	}
	values := spec.Values{}
	disk = spec.Spec{Kind: p.Kind, Arg: p.Arg}
	for _, o := range p.Options {
		switch o.Name {
		case "type", "blocksize", "removable", "writethrough", "serial", "state":
			values[o.Name] = o.Value
		default:
			disk.Options = append(disk.Options, o)
		}
	}
	switch values["type"] {
	case "", "disk":
	case "cdrom":
		c.Type = scsi.CDROM
	default:
		return disk, c, fmt.Errorf("%s: type=%s: there are disk and cdrom", text, values["type"])
	}
	size, err1 := values.Size("blocksize", 0)
	removable, err2 := values.Bool("removable")
	through, err3 := values.Bool("writethrough")
	if err := errors.Join(err1, err2, err3); err != nil {
		return disk, c, fmt.Errorf("%s: %w", text, err)
	}
	if size > 65536 {
		return disk, c, fmt.Errorf("%s: blocksize: want at most 64K", text)
	}
	c.BlockSize, c.Removable, c.WriteThrough = int(size), removable, through
	c.Identifier, c.Serial = identity, values["serial"]
	if c.Serial == "" {
		sum := sha256.Sum256([]byte(identity))
		c.Serial = hex.EncodeToString(sum[:8])
	} else {
		c.Identifier = c.Serial
	}
	if name, ok := values["state"]; ok {
		if name == "" {
			return disk, c, fmt.Errorf("%s: state: want the name of a file", text)
		}
		c.Store = fileStore(name)
	}
	return disk, c, nil
}

// openUnit opens the disk and makes the unit.
func openUnit(ctx context.Context, kinds *spec.Set, l LUN, identity string) (*unit, error) {
	p, c, err := splitUnit(l.Disk, identity)
	if err != nil {
		return nil, err
	}
	d, err := kinds.OpenSpec(ctx, p)
	if err != nil {
		return nil, err
	}
	c.Disk = d
	if l.Size, err = d.Size(); err != nil {
		return nil, errors.Join(err, d.Close())
	}
	u, err := scsi.NewUnit(c)
	if err != nil {
		return nil, errors.Join(fmt.Errorf("%s: %w", l.Disk, err), d.Close())
	}
	return &unit{unit: u, disk: d, lun: l}, nil
}

// close waits until nothing uses the disk, makes it durable and closes it. If ctx ends
// before, it is closed when it can be.
func (u *unit) close(ctx context.Context) error {
	ended := make(chan error, 1)
	done := u.unit.Close()
	go func() {
		<-done
		var err error
		if !u.disk.ReadOnly() {
			err = u.disk.Sync()
		}
		ended <- errors.Join(err, u.disk.Close())
	}()
	select {
	case err := <-ended:
		if err != nil {
			return fmt.Errorf("%s: %w", u.lun.Disk, err)
		}
		return nil
	case <-ctx.Done():
		return fmt.Errorf("%s is still in use: %w", u.lun.Disk, ctx.Err())
	}
}

// A fileStore keeps the state of a unit in a file, which is replaced as a whole.
type fileStore string

// maxState bounds the file that is read.
const maxState = 16 << 20

// Load reads the file; nil if there is none.
func (f fileStore) Load() ([]byte, error) {
	info, err := os.Stat(string(f))
	switch {
	case errors.Is(err, os.ErrNotExist):
		return nil, nil
	case err != nil:
		return nil, err
	case info.Size() > maxState:
		return nil, fmt.Errorf("%s has %d bytes, which is no state of a unit", string(f), info.Size())
	}
	return os.ReadFile(string(f))
}

// Save writes a new file and puts it in the place of the old one, both durably.
func (f fileStore) Save(state []byte) (err error) {
	dir, name := filepath.Dir(string(f)), filepath.Base(string(f))
	file, err := os.CreateTemp(dir, "."+name+".*")
	if err != nil {
		return err
	}
	_, err = file.Write(state)
	if err == nil {
		err = file.Sync()
	}
	err = errors.Join(err, file.Close())
	if err == nil {
		err = os.Rename(file.Name(), string(f))
	}
	if err != nil {
		return errors.Join(err, os.Remove(file.Name()))
	}
	return syncDir(dir)
}

// syncDir makes a rename in a directory durable, where the system can.
func syncDir(name string) error {
	if runtime.GOOS == "windows" {
		return nil
	}
	d, err := os.Open(name)
	if err != nil {
		return err
	}
	return errors.Join(d.Sync(), d.Close())
}
