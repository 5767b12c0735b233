package drive

import (
	"context"
	"errors"

	"github.com/seed-012105e5/gonet/storage/nbd"
)

// NBD is a Backend that exports the medium by NBD: the export appears with the medium and
// vanishes with it. NBD knows no CD-ROMs: clients see their bytes.
type NBD struct {
	server *nbd.Server
	export string
	there  bool // the export is
}

// NewNBD makes the medium the export of that name of a server, which the caller serves and
// closes.
func NewNBD(server *nbd.Server, export string) *NBD { return &NBD{server: server, export: export} }

// Insert adds the export.
func (b *NBD) Insert(_ context.Context, m Medium) error {
	e := nbd.Export{Name: b.export, Description: m.Name, Device: m.Disk, ReadOnly: m.ReadOnly}
	if m.CDROM {
		e.PreferredBlockSize = 2048
	}
	err := b.server.Add(e)
	if errors.Is(err, nbd.ErrServerClosed) {
		return ErrOffline
	}
	b.there = err == nil
	return err
}

// Eject removes the export: no client finds it from now on, what clients have asked for is
// answered, and their connections end. NBD has nothing by which clients could prevent that.
func (b *NBD) Eject(ctx context.Context, force bool) error {
	if !b.there {
		return nil
	}
	if force {
		var cancel context.CancelFunc
		ctx, cancel = context.WithCancel(ctx)
		cancel()
	}
	err := b.server.Remove(ctx, b.export)
	if ctx.Err() == nil && err != nil && !errors.Is(err, nbd.ErrServerClosed) {
		return err
	}
	b.there = false
	return nil
}

// Close does nothing: the server is the caller's.
func (b *NBD) Close() error { return nil }
