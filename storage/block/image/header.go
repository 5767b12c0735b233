package image

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"math"
	"strings"
	"syscall"

	"github.com/seed-012105e5/gonet/storage/block"
)

// Errors of images. The first three are, by errors.Is, also an errno.
var (
	// ErrFormat says that the file is no qcow2 image.
	ErrFormat = fmt.Errorf("image: no qcow2 image: %w", syscall.EINVAL)
	// ErrCorrupt says that something in the image contradicts the format.
	ErrCorrupt = fmt.Errorf("image: the image is corrupt: %w", syscall.EIO)
	// ErrFeature says that the image needs what this package does not do.
	ErrFeature = fmt.Errorf("image: a feature that is not supported: %w", block.ErrNotSupported)
	// ErrNamed says that the image names a file that it may not name, or one that
	// cannot be used.
	ErrNamed = errors.New("image: a file that the image names")
)

// Compression is how the compressed clusters of an image are compressed.
type Compression uint8

const (
	Zlib Compression = 0 // deflate (RFC 1951) without the header of zlib
	Zstd Compression = 1 // RFC 8878
)

func (c Compression) String() string {
	switch c {
	case Zlib:
		return "zlib"
	case Zstd:
		return "zstd"
	}
	return fmt.Sprintf("compression type %d", uint8(c))
}

// Header is what an image says of itself.
type Header struct {
	Version       int   // 2 or 3
	Size          int64 // of the disk, in bytes
	ClusterSize   int   // in bytes, a power of two from 512 to 2 MB
	Compression   Compression
	ExtendedL2    bool   // clusters have 32 subclusters each
	Dirty         bool   // reference counts may be wrong, which reading does not need
	Corrupt       bool   // a program has found the image corrupt
	Snapshots     int    // internal ones, which are ignored
	Backing       string // the name of the backing file, or empty
	BackingFormat string // "raw", "qcow2" or another, or empty where the image does not say
	External      bool   // data is in a file of its own
	DataFile      string // the name of that file, or empty

	l1Offset  int64
	l1Entries int // that the disk needs
}

// Notes are sentences on what a user of the image should know.
func (h *Header) Notes() (notes []string) {
	if h.Dirty {
		notes = append(notes, "the image was not closed properly (dirty bit); reading needs none of what may be wrong")
	}
	if h.Corrupt {
		notes = append(notes, "a program has marked the image as corrupt")
	}
	if h.Snapshots > 0 {
		notes = append(notes, fmt.Sprintf("%d internal snapshots are ignored", h.Snapshots))
	}
	return notes
}

const (
	headerV2    = 72  // bytes
	headerV3    = 104 // bytes at least
	magicNumber = 0x514649fb

	minClusterBits = 9
	maxClusterBits = 21
	minExtendedL2  = 14       // cluster bits
	maxL1Bytes     = 32 << 20 // as of QEMU
	maxName        = 1023     // bytes of a backing file's name
	maxSnapshots   = 65536

	// Incompatible features.
	featureDirty       = 1 << 0
	featureCorrupt     = 1 << 1
	featureExternal    = 1 << 2
	featureCompression = 1 << 3
	featureExtendedL2  = 1 << 4
	featuresKnown      = 1<<5 - 1

	// Header extensions.
	extensionEnd           = 0
	extensionBackingFormat = 0xe2792aca
	extensionFeatureNames  = 0x6803f857
	extensionDataFile      = 0x44415441
	featureNameLength      = 48
)

// foreign are the first bytes of images of other formats.
var foreign = []struct{ magic, name string }{
	{"QFI\xfb\x00\x00\x00\x01", "a qcow image of version 1"},
	{"KDMV", "a VMDK image"},
	{"# Disk DescriptorFile", "a VMDK descriptor"},
	{"vhdxfile", "a VHDX image"},
	{"conectix", "a VHD image"},
	{"QED\x00", "a QED image"},
	{"<<< ", "a VDI image"},
}

// isImage says whether the file begins as a qcow2 image.
func isImage(b []byte) bool {
	return len(b) >= 8 && binary.BigEndian.Uint32(b) == magicNumber && binary.BigEndian.Uint32(b[4:]) > 1
}

// corrupt makes an error that is ErrCorrupt.
func corrupt(format string, args ...any) error {
	return fmt.Errorf("%w: %s", ErrCorrupt, fmt.Sprintf(format, args...))
}

// clusterBits checks the fixed part of the header as far as it says how large the
// first cluster is, which holds all of the header.
func clusterBits(b []byte) (int, error) {
	if !isImage(b) {
		for _, f := range foreign {
			if bytes.HasPrefix(b, []byte(f.magic)) {
				return 0, fmt.Errorf("%w: it is %s; qemu-img convert makes a qcow2 image of it", ErrFormat, f.name)
			}
		}
		return 0, ErrFormat
	}
	if v := binary.BigEndian.Uint32(b[4:]); v > 3 {
		return 0, fmt.Errorf("%w: version %d of qcow2", ErrFeature, v)
	}
	if len(b) < headerV2 {
		return 0, corrupt("it ends within the header")
	}
	bits := binary.BigEndian.Uint32(b[20:])
	if bits < minClusterBits || bits > maxClusterBits {
		return 0, corrupt("clusters of 2^%d bytes, where 2^9 to 2^21 are possible", bits)
	}
	return int(bits), nil
}

// parseHeader reads the header, of which b is the first cluster, or less if the file
// is shorter. See docs/interop/qcow2 of QEMU, "Header".
func parseHeader(b []byte, fileSize int64) (*Header, error) {
	bits, err := clusterBits(b)
	if err != nil {
		return nil, err
	}
	h := &Header{Version: int(binary.BigEndian.Uint32(b[4:])), ClusterSize: 1 << bits}
	b = b[:min(len(b), h.ClusterSize)]
	if m := binary.BigEndian.Uint32(b[32:]); m != 0 {
		return nil, fmt.Errorf("%w: encryption (%s)", ErrFeature, cryptName(m))
	}
	h.Snapshots = int(binary.BigEndian.Uint32(b[60:]))
	if h.Snapshots > maxSnapshots {
		return nil, corrupt("%d snapshots", h.Snapshots)
	}
	length, features := headerV2, uint64(0)
	if h.Version == 3 {
		if length, features, err = h.parseVersion3(b); err != nil {
			return nil, err
		}
	}
	if err := h.parseNames(b, length, features); err != nil {
		return nil, err
	}
	if features&^featuresKnown == 0 && h.ExtendedL2 && bits < minExtendedL2 {
		return nil, corrupt("extended L2 entries in clusters of %d bytes", h.ClusterSize)
	}
	return h, h.parseL1(b, fileSize)
}

func cryptName(method uint32) string {
	switch method {
	case 1:
		return "AES"
	case 2:
		return "LUKS"
	}
	return fmt.Sprintf("method %d", method)
}

// parseVersion3 reads the fields that version 2 lacks.
func (h *Header) parseVersion3(b []byte) (length int, features uint64, err error) {
	if len(b) < headerV3 {
		return 0, 0, corrupt("it ends within the header")
	}
	n := binary.BigEndian.Uint32(b[100:])
	if n < headerV3 || n%8 != 0 || int64(n) > int64(len(b)) {
		return 0, 0, corrupt("a header of %d bytes", n)
	}
	if order := binary.BigEndian.Uint32(b[96:]); order > 6 {
		return 0, 0, corrupt("reference counts of 2^%d bits", order)
	}
	features = binary.BigEndian.Uint64(b[72:])
	h.Dirty = features&featureDirty != 0
	h.Corrupt = features&featureCorrupt != 0
	h.External = features&featureExternal != 0
	h.ExtendedL2 = features&featureExtendedL2 != 0
	if n > headerV3 {
		h.Compression = Compression(b[104])
	}
	if (h.Compression != Zlib) != (features&featureCompression != 0) {
		return 0, 0, corrupt("the compression type contradicts the feature bit")
	}
	if h.Compression > Zstd {
		return 0, 0, fmt.Errorf("%w: %v", ErrFeature, h.Compression)
	}
	return int(n), features, nil
}

// parseNames reads the header extensions from offset at on and the name of the
// backing file, and refuses unknown features by name.
func (h *Header) parseNames(b []byte, at int, features uint64) error {
	off, n := binary.BigEndian.Uint64(b[8:]), binary.BigEndian.Uint32(b[16:])
	end := len(b)
	if off != 0 {
		if n > maxName || off < uint64(at) || off > uint64(len(b)) || uint64(n) > uint64(len(b))-off {
			return corrupt("a name of %d bytes at %d for the backing file, which is not in the first cluster", n, off)
		}
		h.Backing = string(b[off:][:n])
		end = int(off)
	}
	names, err := h.parseExtensions(b[at:end])
	if err != nil {
		return err
	}
	if unknown := features &^ featuresKnown; unknown != 0 {
		return fmt.Errorf("%w: %s", ErrFeature, featureNames(unknown, names))
	}
	if strings.ContainsRune(h.Backing+h.DataFile, 0) {
		return corrupt("a byte of zero in the name of a file")
	}
	return nil
}

// parseExtensions reads header extensions, and returns the table of the features'
// names. An area that ends without the end mark is taken as QEMU does.
func (h *Header) parseExtensions(b []byte) (names []byte, err error) {
	for len(b) >= 8 {
		kind, n := binary.BigEndian.Uint32(b), binary.BigEndian.Uint32(b[4:])
		if kind == extensionEnd {
			break
		}
		b = b[8:]
		if uint64(n) > uint64(len(b)) {
			return nil, corrupt("a header extension of %d bytes, where there are %d", n, len(b))
		}
		data := b[:n]
		switch kind {
		case extensionBackingFormat:
			h.BackingFormat = string(data[:min(len(data), maxName)])
		case extensionFeatureNames:
			names = data
		case extensionDataFile:
			if n > maxName {
				return nil, corrupt("a name of %d bytes for the data file", n)
			}
			h.DataFile = string(data)
		}
		b = b[min(int(n+7)&^7, len(b)):]
	}
	return names, nil
}

// featureNames names the incompatible features, by the image's own table if it has
// their names.
func featureNames(features uint64, table []byte) string {
	var all []string
	for bit := range 64 {
		if features&(1<<bit) == 0 {
			continue
		}
		name := fmt.Sprintf("incompatible feature %d", bit)
		for t := table; len(t) >= featureNameLength; t = t[featureNameLength:] {
			if t[0] == 0 && int(t[1]) == bit {
				text, _, _ := bytes.Cut(t[2:featureNameLength], []byte{0})
				name = fmt.Sprintf("incompatible feature %d (%q)", bit, text)
				break
			}
		}
		all = append(all, name)
	}
	return strings.Join(all, ", ")
}

// parseL1 reads the size of the disk and where the L1 table is.
func (h *Header) parseL1(b []byte, fileSize int64) error {
	size := binary.BigEndian.Uint64(b[24:])
	if size > math.MaxInt64 {
		return corrupt("a disk of %d bytes", size)
	}
	h.Size = int64(size)
	per := uint64(h.ClusterSize) * uint64(h.entriesPerTable()) // of the disk, for one entry
	need := size / per
	if size%per != 0 {
		need++
	}
	have, off := uint64(binary.BigEndian.Uint32(b[36:])), binary.BigEndian.Uint64(b[40:])
	switch {
	case need > maxL1Bytes/8:
		return fmt.Errorf("%w: a disk of %d bytes in clusters of %d, which needs an L1 table of more than %d bytes", ErrFeature, size, h.ClusterSize, maxL1Bytes)
	case have < need:
		return corrupt("an L1 table of %d entries, where %d are needed", have, need)
	case need > 0 && (off%uint64(h.ClusterSize) != 0 || off > uint64(fileSize) || 8*need > uint64(fileSize)-off):
		return corrupt("an L1 table of %d entries at %d in a file of %d bytes", need, off, fileSize)
	}
	h.l1Offset, h.l1Entries = int64(off), int(need)
	return nil
}

// entrySize is the bytes of an L2 entry.
func (h *Header) entrySize() int {
	if h.ExtendedL2 {
		return 16
	}
	return 8
}

// entriesPerTable is the entries of an L2 table, which fills a cluster.
func (h *Header) entriesPerTable() int { return h.ClusterSize / h.entrySize() }
