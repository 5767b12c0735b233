package tcp

import (
	"net"

	"github.com/seed-012105e5/gonet/packet"
)

// smallPiece is how long a piece of WriteBuffers is, in bytes, that it copies
// together with others: less than a copy costs to hand it over on its own.
const smallPiece = 8 << 10

// WriteBuffers is a Write of all of v as if it were in one piece, like writev(2):
// small pieces leave as whole segments, of which only the last may be short. It
// changes neither v nor what is in it. The number is that of the bytes that are
// queued; errors are those of Write.
//
// net.Buffers.WriteTo finds such a method of package net's own types only: it
// writes to others piece by piece. So programs that gather their writes ask for
// this one,
//
//	if w, ok := conn.(interface{ WriteBuffers(net.Buffers) (int64, error) }); ok {
func (c *Conn) WriteBuffers(v net.Buffers) (int64, error) {
	if err := c.beginWrite(); err != nil {
		return 0, c.opError("write", err)
	}
	c.hold(true)
	g := gather{conn: c}
	err := g.addAll(v)
	g.release()
	c.hold(false)
	c.endWrite()
	return g.n, c.opError("write", err)
}

// hold says whether more follows at once.
func (c *Conn) hold(on bool) {
	if c.t != nil {
		c.t.Hold(on)
	}
}

// A gather writes pieces, small ones together.
type gather struct {
	conn *Conn
	b    *packet.Buffer // with small pieces, or nil
	n    int64          // bytes written
}

// addAll writes all of v. The caller has the token, as in writeAll.
func (g *gather) addAll(v net.Buffers) error {
	for _, p := range v {
		if err := g.add(p); err != nil {
			return err
		}
	}
	return g.flush()
}

func (g *gather) add(p []byte) error {
	if len(p) >= smallPiece {
		if err := g.flush(); err != nil {
			return err
		}
		return g.write(p)
	}
	if g.b != nil && len(p) > g.b.Room() {
		if err := g.flush(); err != nil {
			return err
		}
	}
	if g.b == nil {
		g.b = packet.Get(maxChunk)
	}
	g.b.Append(p)
	return nil
}

// flush writes what has been gathered.
func (g *gather) flush() error {
	if g.b == nil {
		return nil
	}
	err := g.write(g.b.Bytes())
	g.release()
	return err
}

func (g *gather) write(p []byte) error {
	n, err := g.conn.writeAll(p)
	g.n += int64(n)
	return err
}

func (g *gather) release() {
	if g.b != nil {
		g.b.Release()
		g.b = nil
	}
}
