package nbd

import "io"

// An input reads what a client sends. As bufio.Reader it looks ahead, so that one read
// of the connection brings many small requests. Payloads that are longer than its
// buffer go to where they belong, and since another is likely to follow, only the
// header of the next request is then read with them: what came into the buffer would
// have to be copied.
type input struct {
	conn   io.Reader
	vector vectorReader // or nil
	buf    []byte
	r, w   int // what is in buf
	bulk   bool
	parts  [][]byte // of a payload, consumed by reading
}

// A vectorReader reads into several slices at once.
type vectorReader interface {
	readVector(parts [][]byte) (n int, err error)
}

func newInput(conn io.Reader) *input {
	return &input{conn: conn, vector: vectored(conn), buf: make([]byte, inputSize)}
}

// Buffered is how many bytes can be had without reading the connection.
func (in *input) Buffered() int { return in.w - in.r }

// Peek returns the next n bytes, at most inputSize, which stay. With an error it
// returns what there is.
func (in *input) Peek(n int) ([]byte, error) {
	if in.Buffered() < n {
		in.w = copy(in.buf, in.buf[in.r:in.w])
		in.r = 0
		most := len(in.buf)
		if in.bulk {
			most = n
		}
		in.bulk = false
		more, err := io.ReadAtLeast(in.conn, in.buf[in.w:most], n-in.w)
		if in.w += more; err != nil {
			return in.buf[:in.w], err
		}
	}
	return in.buf[in.r : in.r+n], nil
}

// Discard skips n bytes.
func (in *input) Discard(n int) (int, error) {
	for left := n; left > 0; {
		if in.Buffered() == 0 {
			if _, err := in.Peek(1); err != nil {
				return n - left, err
			}
		}
		some := min(left, in.Buffered())
		in.r += some
		left -= some
	}
	return n, nil
}

// Read reads what there is.
func (in *input) Read(p []byte) (int, error) {
	if in.Buffered() == 0 {
		return in.conn.Read(p)
	}
	n := copy(p, in.buf[in.r:in.w])
	in.r += n
	return n, nil
}

// payload fills the slices, and reads up to ahead bytes more if they are there.
func (in *input) payload(ahead int, parts ...[]byte) error {
	in.parts = in.parts[:0]
	left := 0
	for _, p := range parts {
		n := copy(p, in.buf[in.r:in.w])
		if in.r += n; n < len(p) {
			in.parts = append(in.parts, p[n:])
			left += len(p) - n
		}
	}
	if left == 0 {
		return nil
	}
	in.r, in.w = 0, 0 // all has been taken
	in.bulk = left > len(in.buf)
	if !in.bulk || in.vector == nil {
		ahead = 0
	}
	in.parts = append(in.parts, in.buf[:ahead])
	err := in.fill(left)
	clear(in.parts)
	return err
}

// fill reads left bytes, and what there is room for besides, into the parts.
func (in *input) fill(left int) error {
	for rest := in.parts; left > 0; {
		var n int
		var err error
		switch {
		case in.vector != nil && in.bulk:
			n, err = in.vector.readVector(rest)
		default:
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
