package nbd

import (
	"bufio"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"time"
)

const (
	defaultClientHandshake = 30 * time.Second
	clientInput            = 64 << 10
)

// An opened connection has its handshake behind it.
type opened struct {
	conn  net.Conn // the TLS connection, if there is one
	in    *bufio.Reader
	style headerStyle
	info  ExportInfo
	ids   []uint32 // of info.Contexts
}

// open runs the handshake n over conn. It ends with the context, and after the
// timeout. It closes conn when it fails.
func open(ctx context.Context, conn net.Conn, n *clientNegotiation, config *tls.Config, timeout time.Duration) (o *opened, err error) {
	if timeout <= 0 {
		timeout = defaultClientHandshake
	}
	conn.SetDeadline(time.Now().Add(timeout))
	stop := context.AfterFunc(ctx, func() { conn.SetDeadline(time.Unix(1, 0)) })
	defer func() {
		if !stop() && err == nil { // the deadline is set or about to be
			err = ctx.Err()
		}
		if err != nil {
			conn.Close()
			if ctx.Err() != nil {
				err = ctx.Err()
			}
			o, err = nil, fmt.Errorf("nbd: handshake: %w", err)
			return
		}
		conn.SetDeadline(time.Time{})
	}()
	h := &handshake{ctx: ctx, conn: conn, in: bufio.NewReaderSize(conn, clientInput), n: n, config: config}
	if err := h.run(); err != nil {
		return nil, err
	}
	return &opened{h.conn, h.in, n.style, n.info, n.ids}, nil
}

// A handshake moves bytes between a connection and a clientNegotiation.
type handshake struct {
	ctx    context.Context
	conn   net.Conn
	in     *bufio.Reader
	n      *clientNegotiation
	config *tls.Config
	buf    []byte
}

func (h *handshake) run() error {
	b, err := h.read(greetingSize)
	if err != nil {
		return err
	}
	out, step, err := h.n.greeting(b)
	for {
		if err != nil {
			return err
		}
		if len(out) > 0 {
			if _, err := h.conn.Write(out); err != nil && step != clientDone {
				return err
			}
		}
		out = nil
		switch step {
		case clientReply:
			out, step, err = h.reply()
		case clientTLS:
			if err = h.startTLS(); err == nil {
				out, step = h.n.startedTLS(), clientReply
			}
		case clientExport:
			if b, err = h.read(exportReplySize); err == nil {
				err, step = h.n.exportReply(b), clientDone
			} else if err == io.EOF || errors.Is(err, io.ErrUnexpectedEOF) {
				err = &OptionError{Option: optExportName.String(), Reply: "it has closed the connection, which is its way to say that there is no such export"}
			}
			if err == nil && !h.n.noZeroes {
				_, err = h.in.Discard(exportReplyZeroes)
			}
		case clientDone:
			return nil
		}
	}
}

// reply reads one reply to an option.
func (h *handshake) reply() ([]byte, clientStep, error) {
	b, err := h.read(optionReplySize)
	if err != nil {
		return nil, clientDone, err
	}
	r, err := parseOptionReply(b)
	if err != nil {
		return nil, clientDone, err
	}
	if r.length > maxReplyData {
		return nil, clientDone, fmt.Errorf("nbd: a reply to %v with %d bytes of data", r.option, r.length)
	}
	if b, err = h.read(int(r.length)); err != nil {
		return nil, clientDone, err
	}
	return h.n.reply(r, b)
}

// read reads n bytes, which are good until the next call.
func (h *handshake) read(n int) ([]byte, error) {
	if cap(h.buf) < n {
		h.buf = make([]byte, max(n, 512))
	}
	b := h.buf[:n]
	_, err := io.ReadFull(h.in, b)
	if n > 0 && err == io.EOF {
		err = io.ErrUnexpectedEOF
	}
	return b, err
}

// startTLS begins TLS. What the server has sent before it is not to be believed
// later.
func (h *handshake) startTLS() error {
	if h.in.Buffered() > 0 {
		return errInjected
	}
	c := tls.Client(h.conn, h.config)
	if err := c.HandshakeContext(h.ctx); err != nil {
		return err
	}
	h.conn = c
	h.in = bufio.NewReaderSize(c, clientInput)
	return nil
}
