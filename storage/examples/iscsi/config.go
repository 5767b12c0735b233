package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"net"
	"os"
	"slices"
	"strconv"
	"strings"

	"github.com/seed-012105e5/gonet/storage/iscsi/admin"
)

// maxConfig bounds the file that is read.
const maxConfig = 64 << 20

// A configuration is what is to be served where.
type configuration struct {
	targets []admin.Target
	portals map[string]uint16 // by address, with the portal group
	notes   []string          // what a user should know
}

// A file is the form of a configuration file, which is gotgt's, with more.
type file struct {
	Storages []storage             `json:"storages"`
	Portals  []filePortal          `json:"iscsiportals"`
	Targets  map[string]fileTarget `json:"iscsitargets"`

	Performance json.RawMessage `json:"performance"` // of gotgt's own working
}

// A storage is a disk.
type storage struct {
	DeviceID   uint64 `json:"deviceID"`
	Path       string `json:"path"`   // file:NAME or NAME
	Online     *bool  `json:"online"` // true if it is not there
	BlockShift uint   `json:"blockShift"`

	Disk string `json:"disk"` // in place of path: a disk with options, as -lun has it

	BackendType string `json:"backendType"` // file or iouring, which is how gotgt reads a file
	S3Endpoint  string `json:"s3Endpoint"`

	Thin       json.RawMessage `json:"thinProvisioning"` // here, what the disk can
	NUMA       json.RawMessage `json:"enableNUMA"`
	NUMANode   json.RawMessage `json:"numaNode"`
	QueueDepth json.RawMessage `json:"ioUringQueueDepth"`
}

type filePortal struct {
	ID     uint64 `json:"id"`
	Portal string `json:"portal"` // host:port, or host
}

type fileTarget struct {
	Groups map[string][]uint64 `json:"tpgts"` // portals by portal group tag
	LUNs   map[string]uint64   `json:"luns"`  // deviceID by number

	Alias  string         `json:"alias"`
	Access []admin.Access `json:"access"`
}

// readConfig reads a configuration file.
func readConfig(name string) (*configuration, error) {
	f, err := os.Open(name)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	text, err := io.ReadAll(io.LimitReader(f, maxConfig+1))
	if err == nil && len(text) > maxConfig {
		err = fmt.Errorf("it has more than %d bytes", maxConfig)
	}
	if err != nil {
		return nil, fmt.Errorf("%s: %w", name, err)
	}
	c, err := parseConfig(text)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", name, err)
	}
	return c, nil
}

// parseConfig reads the text of one.
func parseConfig(text []byte) (*configuration, error) {
	var f file
	if err := json.Unmarshal(text, &f); err != nil {
		return nil, err
	}
	c := &configuration{portals: map[string]uint16{}}
	strict := json.NewDecoder(bytes.NewReader(text))
	strict.DisallowUnknownFields()
	if err := strict.Decode(new(file)); err != nil {
		c.notes = append(c.notes, "not understood, and ignored: "+strings.TrimPrefix(err.Error(), "json: "))
	}
	disks, err := f.disks()
	if err != nil {
		return nil, err
	}
	for _, name := range slices.Sorted(maps.Keys(f.Targets)) {
		t, err := f.target(name, disks, c.portals)
		if err != nil {
			return nil, fmt.Errorf("target %s: %w", name, err)
		}
		c.targets = append(c.targets, t)
	}
	return c, nil
}

// disks are the disks of the file by deviceID; those that are offline are "".
func (f *file) disks() (map[uint64]string, error) {
	disks := map[uint64]string{}
	for _, s := range f.Storages {
		if _, ok := disks[s.DeviceID]; ok {
			return nil, fmt.Errorf("deviceID %d is there twice", s.DeviceID)
		}
		disk, err := s.disk()
		if err != nil {
			return nil, fmt.Errorf("deviceID %d: %w", s.DeviceID, err)
		}
		disks[s.DeviceID] = disk
	}
	return disks, nil
}

// disk is the disk as package spec has it.
func (s *storage) disk() (string, error) {
	if s.Online != nil && !*s.Online {
		return "", nil
	}
	disk := s.Disk
	if disk == "" {
		kind, name, ok := strings.Cut(s.Path, ":")
		if !ok || strings.ContainsAny(kind, "/.") {
			kind, name = "file", s.Path
		}
		switch {
		case kind != "file" && kind != "iouring":
			return "", fmt.Errorf("the path %q: gotgt's kind %s is not read; write \"disk\" with a disk as in iscsi serve -h", s.Path, kind)
		case s.BackendType != "" && s.BackendType != "file" && s.BackendType != "iouring":
			return "", fmt.Errorf("the backendType %q is not read; write \"disk\" with a disk as in iscsi serve -h", s.BackendType)
		case name == "":
			return "", fmt.Errorf("the path %q names no file", s.Path)
		}
		disk = "file:" + strings.ReplaceAll(name, ",", ",,")
	}
	switch {
	case s.BlockShift == 0:
		return disk, nil
	case s.BlockShift < 9 || s.BlockShift > 16:
		return "", fmt.Errorf("blockShift %d: want 9 to 16", s.BlockShift)
	}
	separator := ","
	if kind, rest, _ := strings.Cut(disk, ":"); strings.HasPrefix(rest, "//") && kind != "" && !strings.Contains(disk, "#") {
		separator = "#"
	}
	return fmt.Sprintf("%s%sblocksize=%d", disk, separator, 1<<s.BlockShift), nil
}

// target is a target of the file. It adds its portals.
func (f *file) target(name string, disks map[uint64]string, portals map[string]uint16) (admin.Target, error) {
	in := f.Targets[name]
	t := admin.Target{Name: name, Alias: in.Alias, Access: in.Access, LUNs: map[int]admin.LUN{}}
	for _, number := range slices.Sorted(maps.Keys(in.LUNs)) {
		n, err := strconv.ParseUint(number, 10, 14)
		if err != nil {
			return t, fmt.Errorf("unit %q: want a number from 0 to 16383", number)
		}
		id := in.LUNs[number]
		disk, ok := disks[id]
		if !ok {
			return t, fmt.Errorf("unit %d: there is no storage with deviceID %d", n, id)
		}
		if disk != "" {
			t.LUNs[int(n)] = admin.LUN{Disk: disk, Shared: strconv.FormatUint(id, 10)}
		}
	}
	for _, tag := range slices.Sorted(maps.Keys(in.Groups)) {
		group, err := strconv.ParseUint(tag, 10, 16)
		if err != nil || group == 0 {
			return t, fmt.Errorf("portal group %q: want a tag from 1 to 65535", tag)
		}
		t.Groups = append(t.Groups, uint16(group))
		for _, id := range in.Groups[tag] {
			address, err := f.portal(id)
			if err != nil {
				return t, err
			}
			if old := portals[address]; old != 0 && old != uint16(group) {
				return t, fmt.Errorf("portal %d is in group %d and in group %d of another target; here a portal has one group", id, group, old)
			}
			portals[address] = uint16(group)
		}
	}
	return t, nil
}

// portal is the address of a portal, with its port.
func (f *file) portal(id uint64) (string, error) {
	i := slices.IndexFunc(f.Portals, func(p filePortal) bool { return p.ID == id })
	if i < 0 {
		return "", fmt.Errorf("there is no portal with id %d", id)
	}
	address := f.Portals[i].Portal
	if _, _, err := net.SplitHostPort(address); err == nil {
		return address, nil
	}
	if address == "" {
		return "", fmt.Errorf("portal %d has no address", id)
	}
	return net.JoinHostPort(strings.Trim(address, "[]"), "3260"), nil
}
