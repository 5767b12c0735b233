package imagestore

import (
	"path"
	"strings"
	"time"
)

// An Image is what a store knows of an image.
type Image struct {
	Name     string    // relative, with slashes
	Size     int64     // bytes
	Modified time.Time // of the last change of its contents

	Complete  bool // false: an upload that has not ended, or one that another program did not end
	Removable bool
	Writable  bool

	Part   string // the name of the part of the store that it is in; "" is the main one
	Type   string // what its contents and name say: see TypeOf
	SHA256 string // hexadecimal, if it is known
}

// A Part is a file system that holds images: the one of the store, named "", and each
// that is mounted somewhere below images/.
type Part struct {
	Size, Free int64 // bytes
	Writable   bool
}

// A Transfer is an upload or a download that is under way, or an upload that can go on.
type Transfer struct {
	Name   string
	Size   int64 // bytes; -1 if it is not known yet
	Done   int64 // bytes
	Active bool  // somebody is sending now
}

// A State is a picture of a store.
type State struct {
	Online    bool // false: the directory cannot be read
	Images    map[string]Image
	Parts     map[string]Part
	Uploads   map[string]Transfer // by image
	Downloads map[string]Transfer // by image, the last one of each that is under way
}

// neverWritten says whether the name is that of an image that no drive writes.
func neverWritten(name string) bool { return strings.EqualFold(path.Ext(name), ".iso") }

// TypeOf says what an image is by its name and its first bytes, of which 32774 suffice:
// iso, qcow2, vmdk, vhdx, gpt, mbr, or raw.
func TypeOf(name string, head []byte) string {
	at := func(off int, magic string) bool {
		return len(head) >= off+len(magic) && string(head[off:off+len(magic)]) == magic
	}
	switch {
	case at(32769, "CD001"): // ECMA-119 8.1.2, the descriptor in sector 16
		return "iso"
	case at(0, "QFI\xfb"):
		return "qcow2"
	case at(0, "KDMV"):
		return "vmdk"
	case at(0, "vhdxfile"):
		return "vhdx"
	case at(512, "EFI PART"):
		return "gpt"
	case at(510, "\x55\xaa"):
		return "mbr"
	case strings.EqualFold(path.Ext(name), ".iso"):
		return "iso"
	}
	return "raw"
}
