package iscsi

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"net"
	"strings"
	"time"
)

// dial makes a connection and logs in. It follows a target that has moved.
func (c *Client) dial(ctx context.Context) (*link, error) {
	address := c.address
	for range maxRedirects {
		k, err := c.dialAt(ctx, address)
		var moved *LoginError
		if !errors.As(err, &moved) || moved.Class != 1 || moved.Address == "" {
			return k, err
		}
		address, _, _ = strings.Cut(moved.Address, ",")
	}
	return nil, fmt.Errorf("iscsi: the target has moved more than %d times", maxRedirects)
}

func (c *Client) dialAt(ctx context.Context, address string) (*link, error) {
	timeout := c.dialer.LoginTimeout
	if timeout <= 0 {
		timeout = defaultLoginTimeout
	}
	ctx, cancel := context.WithTimeout(ctx, timeout)
	defer cancel()
	dial := c.dialer.Dial
	if dial == nil {
		dial = new(net.Dialer).DialContext
	}
	conn, err := dial(ctx, "tcp", withPort(address))
	if err != nil {
		return nil, err
	}
	stop := context.AfterFunc(ctx, func() { conn.SetDeadline(time.Unix(1, 0)) })
	in := bufio.NewReaderSize(conn, inputSize)
	l, err := c.login(conn, in)
	if err == nil && !stop() {
		err = ctx.Err()
	}
	if err != nil {
		stop()
		conn.Close()
		if cause := context.Cause(ctx); cause != nil {
			err = errors.Join(cause, err)
		}
		return nil, err
	}
	return newLink(conn, in, l, &c.pool, orDefault(c.dialer.MaxCommands, defaultQueueDepth), c.dialer.OnEvent), nil
}

// withPort adds iSCSI's port to an address without one.
func withPort(address string) string {
	if _, _, err := net.SplitHostPort(address); err == nil {
		return address
	}
	return net.JoinHostPort(strings.Trim(address, "[]"), defaultPort)
}

// login is the login phase: one request out, one response in.
func (c *Client) login(conn net.Conn, in *bufio.Reader) (*loginInitiator, error) {
	d := &c.dialer
	l := &loginInitiator{
		random: d.random, name: d.Initiator, alias: d.Alias, target: c.target, isid: c.isid,
		user: d.User, secret: d.Secret, mutualUser: d.MutualUser, mutualSecret: d.MutualSecret,
		negotiation: d.offer(), itt: 1, cmdSN: 1,
	}
	if l.name == "" {
		l.name = defaultInitiator
	}
	l.negotiation.discovery = c.target == ""
	r := &reader{in: in, maxData: int(initialValues()[keyMaxRecv])}
	var h header
	for {
		req, text := l.request()
		if _, err := conn.Write(appendPDU(nil, &req, text, digests{})); err != nil {
			return nil, err
		}
		if _, err := r.header(&h); err != nil {
			return nil, err
		}
		data := make([]byte, h.dataLength())
		if err := r.data(data); err != nil {
			return nil, err
		}
		if done, err := l.response(&h, data); err != nil || done {
			return l, err
		}
	}
}

// offer is what this initiator would have.
func (d *Dialer) offer() *negotiation {
	v := initialValues()
	v[keyInitialR2T] = 0
	v[keyMaxRecv] = initiatorRecv
	v[keyMaxBurst] = initiatorBurst
	v[keyFirstBurst] = initiatorFirst
	v[keyMaxOutstandingR2T] = initiatorR2Ts
	n := newNegotiation(v)
	for id, want := range map[keyID]bool{keyHeaderDigest: d.HeaderDigest, keyDataDigest: d.DataDigest} {
		n.choices[id] = []uint32{b2n(want)}
	}
	n.choices[keyTaskReporting] = []uint32{0}
	return n
}

// ping asks the target whether it is there.
func (k *link) ping(ctx context.Context) error {
	h := newHeader(opNopOut, flagFinal, 0)
	h[0] |= 0x40
	h.setTTT(reservedTag)
	return k.do(ctx, &call{header: h, unordered: true})
}

// logout ends the session (RFC 7143, 11.14).
func (k *link) logout(ctx context.Context) error {
	h := newHeader(opLogout, flagFinal, 0)
	h[0] |= 0x40
	q := &call{header: h, unordered: true}
	if err := k.do(ctx, q); err != nil {
		return err
	}
	if r := q.answer.response(); r != logoutDone {
		return fmt.Errorf("iscsi: the logout is answered by %d", r)
	}
	return nil
}

// maxTextAnswer bounds the list of targets that is taken.
const maxTextAnswer = 16 << 20

// text does a text exchange (RFC 7143, 11.10).
func (k *link) text(ctx context.Context, request []byte) (pairs []pair, err error) {
	var all []byte
	itt, ttt := uint32(0), uint32(reservedTag)
	for {
		h := newHeader(opText, flagFinal, itt)
		h.setTTT(ttt)
		q := &call{header: h, out: request}
		if err := k.do(ctx, q); err != nil {
			return nil, err
		}
		itt = q.header.itt() // of the whole exchange (RFC 7143, 11.10.3)
		if all = append(all, q.text...); len(all) > maxTextAnswer {
			return nil, formatErrorf("more than %d bytes of text", maxTextAnswer)
		}
		if q.answer.final() {
			return parsePairs(all, len(all))
		}
		if ttt, request = q.answer.ttt(), nil; ttt == reservedTag {
			return nil, formatErrorf("text that goes on without a tag")
		}
	}
}
