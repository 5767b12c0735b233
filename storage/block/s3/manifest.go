package s3

import (
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"regexp"
	"time"
)

// A manifest is the object that says what the disk is. Every state of the disk in the
// bucket begins there: whoever replaces it, on the condition that it still is the one
// that he has read, publishes all at once.
type manifest struct {
	Format int    `json:"format"` // manifestFormat
	Disk   string `json:"disk"`   // 32 hexadecimal digits, never twice
	Size   int64  `json:"size"`   // in bytes
	Chunk  int    `json:"chunk"`  // in bytes

	Epoch    uint32 `json:"epoch"`    // of the last writer: how many there were
	Sequence uint64 `json:"sequence"` // how often the manifest was replaced
	Owner    string `json:"owner"`    // who writes, or empty: it was closed, and all is here
	Lease    int64  `json:"lease"`    // seconds after which an owner that is silent is given up

	Journal string `json:"journal"` // of the last writer: 32 hexadecimal digits, or empty
	Applied uint64 `json:"applied"` // records of the journal up to this one are here
	Floor   uint32 `json:"floor"`   // records of the journal of earlier epochs are void
	Sweep   bool   `json:"sweep"`   // there may be objects that nothing names

	// Pages of the index that are not only holes, by number.
	Pages map[int64]version `json:"pages"`
}

const (
	manifestFormat = 1
	manifestMost   = 8 << 20 // bytes
	smallestChunk  = 4 << 10
	largestChunk   = 64 << 20
	mostChunks     = 1 << 26 // the index of so many takes 800 MB
)

// Errors of manifests.
var (
	errManifest = errors.New("the manifest is damaged")
	errFormat   = errors.New("the manifest is of a format that this program does not know")
)

// checkGeometry says whether there can be a disk of that size and those chunks.
func checkGeometry(size int64, chunk int) error {
	if chunk < smallestChunk || chunk > largestChunk || chunk&(chunk-1) != 0 {
		return fmt.Errorf("a chunk of %d bytes, which must be a power of two from 4 KB to 64 MB", chunk)
	}
	if size < 0 || size > math.MaxInt64-int64(chunk) || chunkCount(size, chunk) > mostChunks {
		return fmt.Errorf("a size of %d bytes in chunks of %d: there are at most %d chunks", size, chunk, mostChunks)
	}
	return nil
}

func chunkCount(size int64, chunk int) int64 { return (size + int64(chunk) - 1) / int64(chunk) }

// encode writes the manifest as its object holds it, which is JSON.
func (m manifest) encode() ([]byte, error) { return json.Marshal(m) }

// decodeManifest reads a manifest, of which nothing is believed.
func decodeManifest(b []byte) (m manifest, err error) {
	if err := json.Unmarshal(b, &m); err != nil {
		return m, fmt.Errorf("%w: %v", errManifest, err)
	}
	if m.Format != manifestFormat {
		return m, fmt.Errorf("%w: %d", errFormat, m.Format)
	}
	if err := checkGeometry(m.Size, m.Chunk); err != nil {
		return m, fmt.Errorf("%w: %v", errManifest, err)
	}
	id := regexp.MustCompile(`^[0-9a-f]{32}$`)
	if !id.MatchString(m.Disk) || m.Journal != "" && !id.MatchString(m.Journal) {
		return m, fmt.Errorf("%w: the disk %.40q has the journal %.40q", errManifest, m.Disk, m.Journal)
	}
	if m.Lease < 0 || m.Lease > int64(24*time.Hour/time.Second) || len(m.Owner) > 1024 || m.Floor > m.Epoch {
		return m, fmt.Errorf("%w: a lease of %d s, an owner of %d bytes, the floor %d in epoch %d", errManifest, m.Lease, len(m.Owner), m.Floor, m.Epoch)
	}
	pages := (chunkCount(m.Size, m.Chunk) + pageChunks - 1) / pageChunks
	for n, v := range m.Pages {
		if n < 0 || n >= pages || v == (version{}) || v.Epoch > m.Epoch {
			return m, fmt.Errorf("%w: page %d of %d is version %v in epoch %d", errManifest, n, pages, v, m.Epoch)
		}
	}
	return m, nil
}
