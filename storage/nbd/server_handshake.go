package nbd

import (
	"crypto/tls"
	"encoding/binary"
	"errors"
	"io"
	"net"

	"github.com/seed-012105e5/gonet/storage/internal/input"
)

// handshake negotiates with the client of c until it has chosen an export. It
// returns nil and no error if the client went.
//
// It owns the negotiation, reads and writes the connection, and blocks in both
// until the time of the handshake is over.
func (s *Server) handshake(c *serverConn) (*session, error) {
	conn := c.conn
	in := input.New(conn, &s.buffers, inputSize)
	if _, err := conn.Write(appendGreeting(nil, flagFixedNewstyle|flagNoZeroes)); err != nil {
		return nil, err
	}
	b, err := in.Peek(clientFlagsSize)
	if err != nil {
		return nil, eof(err)
	}
	n := &negotiation{exports: s, mode: s.tlsMode(), noList: s.NoList}
	next := n.clientFlags(binary.BigEndian.Uint32(b))
	in.Discard(clientFlagsSize)
	for next == stepOption {
		var out []byte
		out, next, err = readOption(in, n)
		if err != nil {
			return nil, eof(err)
		}
		s.counters.options.Add(1)
		var ready *session
		if next == stepTransmit {
			ready = newSession(s, c, conn, in, n)
			if !s.enter(c, ready) {
				return nil, errors.New("nbd: the export has been removed")
			}
		}
		if len(out) > 0 {
			if _, err := conn.Write(out); err != nil {
				return nil, err
			}
		}
		switch next {
		case stepTransmit:
			return ready, nil
		case stepTLS:
			tlsConn, err := s.startTLS(c, in)
			if err != nil {
				return nil, err
			}
			state := tlsConn.ConnectionState()
			n.startedTLS(&state)
			conn, in, next = tlsConn, input.New(tlsConn, &s.buffers, inputSize), stepOption
		}
	}
	return nil, nil
}

// readOption reads one option and returns the replies to it. Data that is too long
// to be looked at is skipped, or ends the connection.
func readOption(in *input.Reader, n *negotiation) (out []byte, next step, err error) {
	b, err := in.Peek(optionHeaderSize)
	if err != nil {
		return nil, stepEnd, err
	}
	h, err := parseOptionHeader(b)
	if err != nil {
		return nil, stepEnd, err
	}
	in.Discard(optionHeaderSize)
	if h.length > maxOptionSkip {
		return nil, stepEnd, errors.New("nbd: an option with more than 32 MiB of data")
	}
	if h.length > maxOptionData {
		if _, err := in.Discard(int(h.length)); err != nil {
			return nil, stepEnd, err
		}
		out, next = n.tooBig(h.option, nil)
		return out, next, nil
	}
	data := make([]byte, h.length)
	if _, err := io.ReadFull(in, data); err != nil {
		return nil, stepEnd, err
	}
	out, next = n.option(h.option, data, nil)
	return out, next, nil
}

// startTLS begins TLS. What the client sent in the clear after STARTTLS, before it
// had the answer, must not be taken for something that came by TLS.
func (s *Server) startTLS(c *serverConn, in *input.Reader) (*tls.Conn, error) {
	if in.Buffered() > 0 {
		return nil, errors.New("nbd: data in the clear after STARTTLS")
	}
	conn := tls.Server(c.conn, s.TLS)
	if err := conn.HandshakeContext(c.ctx); err != nil {
		return nil, err
	}
	s.counters.tls.Add(1)
	return conn, nil
}

// tlsMode is TLSMode, as far as there are certificates.
func (s *Server) tlsMode() TLSMode {
	if s.TLS == nil && s.TLSMode == TLSAllowed {
		return TLSOff
	}
	return s.TLSMode
}

// eof is nil where the client has just gone.
func eof(err error) error {
	if errors.Is(err, io.EOF) || errors.Is(err, net.ErrClosed) {
		return nil
	}
	return err
}
