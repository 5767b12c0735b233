package nbd

import (
	"crypto/tls"
	"fmt"
	"math/bits"
	"time"

	"github.com/seed-012105e5/gonet/storage/block"
)

// A TLSMode says what a server does about encryption (specification, TLS support).
type TLSMode uint8

const (
	// TLSOff refuses STARTTLS (NOTLS).
	TLSOff TLSMode = iota
	// TLSAllowed leaves it to the client, but for exports that are TLSOnly
	// (SELECTIVETLS).
	TLSAllowed
	// TLSRequired answers nothing before STARTTLS (FORCEDTLS).
	TLSRequired
)

// An Export is a device with a name, and what clients may do with it. What is zero
// is as the device has it.
type Export struct {
	Name        string // at most 4096 bytes; the empty one is what clients get that ask for none
	Description string
	Device      block.Device

	ReadOnly    bool
	NoMultiConn bool // do not tell clients that they may use several connections
	AllowResize bool // take RESIZE requests (the specification's resize extension)

	// Block sizes in bytes, powers of two. Requests that are not aligned to
	// MinimumBlockSize (1 if zero, at most 65536) fail. PreferredBlockSize is at
	// least 512, and 4096 if neither this nor the device says otherwise.
	MinimumBlockSize   uint32
	PreferredBlockSize uint32
	// MaximumRequestSize is the longest read or write, from the preferred block
	// size to 32 MiB, which is meant by zero. Longer ones fail.
	MaximumRequestSize uint32

	// TLSOnly hides the export from clients without TLS.
	TLSOnly bool
	// Visible says whether a client may see and use the export, by its
	// certificate (state.PeerCertificates); nil stands for all. Without TLS it is
	// called with nil.
	Visible func(state *tls.ConnectionState) bool

	// Contexts are meta contexts beside base:allocation and those of the device,
	// if it is a [ContextSource].
	Contexts []MetaContext
}

// A MetaContext tells something about ranges of an export (specification,
// Metadata querying).
type MetaContext struct {
	Name string // with its namespace: "x-example:age"
	// Wide says that flags need more than 32 bits: only clients with extended
	// headers can choose the context then.
	Wide bool
	// Extents calls yield with the lengths and flags of adjacent ranges from off
	// on, none empty, until length is covered or yield returns false.
	Extents func(off, length int64, yield func(length int64, flags uint64) bool) error
}

// A ContextSource is a device that has meta contexts of its own.
type ContextSource interface {
	MetaContexts() []MetaContext
}

// Defaults and ceilings of a Server.
const (
	defaultHandshakeTimeout = 30 * time.Second
	defaultMaxConns         = 1024
	defaultMaxHandshakes    = 128
	defaultMaxRequests      = 64
	ceilingMaxRequests      = 1024
	defaultMaxMemory        = 64 << 20
	defaultMaxWorkers       = 2048
	maxOptionData           = 64 << 10 // of an option that is looked at
	maxOptionSkip           = 32 << 20 // of one that is skipped and answered with an error
)

// maxMetaContexts bounds the chunks of a reply to BLOCK_STATUS.
const maxMetaContexts = 64

// check says whether e can be served, and fills in what is zero.
func (e *Export) check() error {
	bad := func(format string, args ...any) error {
		return fmt.Errorf("nbd: export %q: "+format, append([]any{e.Name}, args...)...)
	}
	if _, err := parseString([]byte(e.Name)); err != nil {
		return bad("its name is %w", err)
	}
	if _, err := parseString([]byte(e.Description)); err != nil {
		return bad("its description is %w", err)
	}
	power := func(n uint32) bool { return bits.OnesCount32(n) == 1 }
	if e.MinimumBlockSize == 0 {
		e.MinimumBlockSize = 1
	}
	if !power(e.MinimumBlockSize) || e.MinimumBlockSize > maxMinimumBlockSize {
		return bad("a minimum block size of %d is no power of two up to 65536", e.MinimumBlockSize)
	}
	if e.PreferredBlockSize == 0 {
		e.PreferredBlockSize = max(4096, e.MinimumBlockSize)
	}
	if !power(e.PreferredBlockSize) || e.PreferredBlockSize < max(512, e.MinimumBlockSize) || e.PreferredBlockSize > defaultMaxPayload {
		return bad("a preferred block size of %d is no power of two from 512 or the minimum to 32 MiB", e.PreferredBlockSize)
	}
	if e.MaximumRequestSize == 0 {
		e.MaximumRequestSize = defaultMaxPayload
	}
	if e.MaximumRequestSize > defaultMaxPayload || e.MaximumRequestSize < e.PreferredBlockSize {
		return bad("requests of at most %d bytes: from the preferred block size to 32 MiB are possible", e.MaximumRequestSize)
	}
	seen := map[string]bool{contextAllocation: true}
	for _, c := range e.Contexts {
		if _, err := parseString([]byte(c.Name)); err != nil || namespace(c.Name) == "" || c.Extents == nil || seen[c.Name] {
			return bad("the meta context %q has no namespace, no function, or is there twice", c.Name)
		}
		seen[c.Name] = true
	}
	if len(e.Contexts) >= maxMetaContexts {
		return bad("more than %d meta contexts", maxMetaContexts-1)
	}
	return nil
}
