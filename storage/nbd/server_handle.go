package nbd

import (
	"net"

	"github.com/seed-012105e5/gonet/storage/block"
)

// Options are what [Handle] may be told about all exports, as in
// github.com/pojntfx/go-nbd. Sizes are in bytes; zero is as in [Export].
type Options struct {
	ReadOnly           bool
	MinimumBlockSize   uint32
	PreferredBlockSize uint32
	// MaximumBlockSize and MaximumRequestSize both bound reads and writes.
	MaximumBlockSize   uint32
	MaximumRequestSize uint32
	// SupportsMultiConn says that clients may use several connections, each handled
	// with the same devices. A device that cannot bear it is never offered so.
	SupportsMultiConn bool
}

// Handle serves the exports to the client of one connection, until it ends, and
// closes it. Where more than one connection is served, or exports come and go, a
// [Server] does it with bounds on all of them together.
//
// Other calls of Handle may serve the same device. If it has blocks larger than a
// byte and is no [block.Disk], only whole blocks are taken, since nobody could keep
// two clients apart that change parts of one.
//
// A nil options is the same as none set, but for SupportsMultiConn.
func Handle(conn net.Conn, exports []*Export, options *Options) error {
	o := Options{SupportsMultiConn: true}
	if options != nil {
		o = *options
	}
	var s Server
	defer s.Close()
	for _, x := range exports {
		e := *x
		e.ReadOnly = e.ReadOnly || o.ReadOnly
		e.NoMultiConn = e.NoMultiConn || !o.SupportsMultiConn
		set := func(p *uint32, v uint32) {
			if *p == 0 {
				*p = v
			}
		}
		set(&e.MinimumBlockSize, max(o.MinimumBlockSize, blockOf(e.Device)))
		set(&e.PreferredBlockSize, o.PreferredBlockSize)
		set(&e.MaximumRequestSize, least(o.MaximumBlockSize, o.MaximumRequestSize, defaultMaxPayload))
		if err := s.Add(e); err != nil {
			conn.Close()
			return err
		}
	}
	return s.ServeConn(conn)
}

// blockOf is the smallest part of the device that clients of several calls of Handle
// may write at once.
func blockOf(d block.Device) uint32 {
	if _, shared := d.(*block.Disk); shared {
		return 1
	}
	if b, ok := d.(block.BlockSizer); ok {
		return uint32(min(max(b.BlockSizes().Minimum, 1), maxMinimumBlockSize))
	}
	return 1
}

// least is the least of the sizes that are not zero.
func least(sizes ...uint32) (n uint32) {
	for _, size := range sizes {
		if size != 0 && (n == 0 || size < n) {
			n = size
		}
	}
	return n
}
