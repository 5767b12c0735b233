// Package input reads what comes to a server: many small requests by one read of the
// connection, and long payloads where they belong.
package input

import (
	"io"

	"github.com/seed-012105e5/gonet/storage/internal/buffers"
)

// A Reader looks ahead as bufio.Reader does. It differs in two things:
//
//   - Payloads that are longer than its buffer go to where they belong, and since
//     another is likely to follow, only the header of the next request is then read
//     with them: what came into the buffer would have to be copied.
//   - Its buffer is lent. On a socket of the kernel it holds none while it waits for
//     the peer, so that an idle connection costs no more than it must.
type Reader struct {
	conn  io.Reader
	sock  *socket // or nil
	pool  *buffers.Pool
	size  int
	buf   *buffers.Buffer // or nil: then r and w are 0
	r, w  int             // what is in buf
	bulk  bool            // a long payload has been read last
	parts [][]byte        // of a payload, consumed by reading
}

// New reads conn with a buffer of size bytes.
func New(conn io.Reader, pool *buffers.Pool, size int) *Reader {
	return &Reader{conn: conn, sock: newSocket(conn), pool: pool, size: size}
}

// release gives the buffer back.
func (in *Reader) release() {
	in.pool.Put(in.buf)
	in.buf, in.r, in.w = nil, 0, 0
}

// Buffered is how many bytes can be had without reading the connection.
func (in *Reader) Buffered() int { return in.w - in.r }

// Peek returns the next n bytes, at most the size of the buffer, which stay. They are
// the reader's until the next call. With an error it returns what there is.
func (in *Reader) Peek(n int) ([]byte, error) {
	if in.Buffered() > 0 && in.Buffered() < n {
		in.w = copy(in.buf.Bytes, in.buf.Bytes[in.r:in.w])
		in.r = 0
	}
	most := in.size
	if in.bulk {
		most = n
	}
	for in.Buffered() < n {
		if err := in.fill(most); err != nil {
			return in.rest(), err
		}
	}
	in.bulk = false
	return in.buf.Bytes[in.r : in.r+n], nil
}

// rest is all that is buffered.
func (in *Reader) rest() []byte {
	if in.buf == nil {
		return nil
	}
	return in.buf.Bytes[in.r:in.w]
}

// fill reads once, until there are at most so many bytes in the buffer.
func (in *Reader) fill(most int) (err error) {
	if in.r == in.w {
		in.r, in.w = 0, 0
	}
	var n int
	switch {
	case in.sock != nil && in.w == 0: // holds no buffer while it waits
		in.release()
		in.buf, n, err = in.sock.readInto(in.pool, in.size, most)
	default:
		if in.buf == nil {
			in.buf = in.pool.Get(in.size)
		}
		n, err = in.conn.Read(in.buf.Bytes[in.w:most])
	}
	in.w += n
	if n > 0 {
		return nil
	}
	return err
}

// Discard skips n bytes.
func (in *Reader) Discard(n int) (int, error) {
	for left := n; left > 0; {
		if in.Buffered() == 0 {
			if err := in.fill(in.size); err != nil {
				return n - left, err
			}
		}
		some := min(left, in.Buffered())
		in.r += some
		left -= some
	}
	return n, nil
}

// Read reads what there is, by way of the buffer if p is smaller.
func (in *Reader) Read(p []byte) (int, error) {
	for in.Buffered() == 0 && len(p) > 0 {
		if len(p) >= in.size {
			return in.conn.Read(p)
		}
		most := in.size
		if in.bulk {
			most = len(p)
		}
		if err := in.fill(most); err != nil {
			return 0, err
		}
	}
	in.bulk = false
	n := copy(p, in.rest())
	in.r += n
	return n, nil
}

// Payload fills the parts, and reads up to ahead bytes more if they have come. It fails
// with io.ErrUnexpectedEOF if the stream ends before.
func (in *Reader) Payload(parts [][]byte, ahead int) error {
	in.parts = in.parts[:0]
	left := 0
	for _, p := range parts {
		n := copy(p, in.rest())
		if in.r += n; n < len(p) {
			in.parts = append(in.parts, p[n:])
			left += len(p) - n
		}
	}
	if left == 0 {
		return nil
	}
	in.r, in.w = 0, 0 // all has been taken
	in.bulk = left > in.size
	if in.bulk && in.sock != nil {
		if in.buf == nil {
			in.buf = in.pool.Get(in.size)
		}
		in.parts = append(in.parts, in.buf.Bytes[:ahead])
	}
	err := in.scatter(left)
	clear(in.parts)
	return err
}

// scatter reads left bytes, and what there is room for besides, into the parts.
func (in *Reader) scatter(left int) error {
	for rest := in.parts; left > 0; {
		var n int
		var err error
		if in.bulk && in.sock != nil {
			n, err = in.sock.readVector(rest)
		} else {
			n, err = in.conn.Read(rest[0])
		}
		if n == 0 && err != nil {
			if err == io.EOF {
				err = io.ErrUnexpectedEOF
			}
			return err
		}
		if left -= n; left < 0 {
			in.w = -left
		}
		for len(rest) > 0 && n >= len(rest[0]) {
			n -= len(rest[0])
			rest = rest[1:]
		}
		if len(rest) > 0 {
			rest[0] = rest[0][n:]
		}
	}
	return nil
}
