// Package partition opens the partitions of a disk, by its table: a GPT (UEFI
// specification, section 5.3), the one at the end of the disk where the first is
// damaged, or an MBR with primary and logical partitions.
package partition

import (
	"errors"
	"fmt"
	"strconv"

	"github.com/seed-012105e5/gonet/storage/block"
	"github.com/seed-012105e5/gonet/storage/block/filter"
	"github.com/seed-012105e5/gonet/storage/block/spec"
)

// Errors of reading a table.
var (
	ErrNoTable = errors.New("partition: the disk has no partition table")
	ErrDamaged = errors.New("partition: the partition table is damaged")
)

// A Partition is a part of a disk.
type Partition struct {
	Number      int    // as Linux has it, from 1 on; logical ones from 5 on
	Off, Length int64  // in bytes
	Type        string // a GUID, or a byte as in 0x83
	Name        string // in a GPT
}

// List reads the table of the disk. Partitions that do not lie in it are left out.
func List(dev block.Device) ([]Partition, error) {
	d, err := block.NewDisk(dev)
	if err != nil {
		return nil, err
	}
	size, err := d.Size()
	if err != nil {
		return nil, err
	}
	all, err := listGPT(d, size)
	if errors.Is(err, ErrNoTable) {
		all, err = listMBR(d, size)
	}
	return inside(all, size), err
}

// inside keeps the partitions that lie in the disk.
func inside(all []Partition, size int64) (kept []Partition) {
	for _, p := range all {
		if p.Off > 0 && p.Length > 0 && p.Off <= size && p.Length <= size-p.Off {
			kept = append(kept, p)
		}
	}
	return kept
}

// Open opens the partition of that number. The disk is closed with it.
func Open(dev block.Device, number int) (*block.Disk, error) {
	all, err := List(dev)
	if err != nil {
		return nil, err
	}
	for _, p := range all {
		if p.Number == number {
			return filter.NewPartition(dev, p.Off, p.Length)
		}
	}
	return nil, fmt.Errorf("partition: there is no partition %d, of %d", number, len(all))
}

// Filter is the option partition=NUMBER of specifications.
func Filter() spec.Filter {
	return spec.Filter{
		Name: "partition", Usage: "NUMBER: only that partition, of a GPT or MBR",
		Wrap: func(dev block.Device, value string) (block.Device, error) {
			n, err := strconv.Atoi(value)
			if err != nil || n < 1 {
				return nil, fmt.Errorf("partition=%s: want a number from 1 on", value)
			}
			return Open(dev, n)
		},
	}
}
