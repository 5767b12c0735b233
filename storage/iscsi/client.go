package iscsi

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"net"
	"strings"
	"time"

	"github.com/seed-012105e5/gonet/storage/internal/buffers"
	"github.com/seed-012105e5/gonet/storage/scsi"
)

// A Dialer makes sessions with targets. Zero values are sensible.
type Dialer struct {
	// Initiator is this side's iSCSI name; iqn.2026-01.org.gonet:initiator if empty.
	Initiator string
	Alias     string
	// User and Secret are what this side proves by CHAP, if the target asks for it.
	User, Secret string
	// MutualUser and MutualSecret are what the target has to prove. CHAP is then
	// insisted on.
	MutualUser, MutualSecret string
	// HeaderDigest and DataDigest ask for CRC32C; without it none is used.
	HeaderDigest, DataDigest bool

	// Dial makes connections; that of net.Dialer if it is nil.
	Dial func(ctx context.Context, network, address string) (net.Conn, error)
	// LoginTimeout bounds the making of a connection and the login; 15 s if zero.
	LoginTimeout time.Duration
	// ReplacementTimeout is how long commands wait for a connection that was lost to be
	// made again; 120 s if zero. None is made again if it is negative.
	ReplacementTimeout time.Duration
	// PingInterval is after how long without a word the target is asked whether it is
	// there, and how long it has to answer; 10 s if zero.
	PingInterval time.Duration
	// MaxCommands bounds the commands under way; 128 if zero.
	MaxCommands int
	// OnEvent, if set, is told what targets tell without being asked. It must not block.
	OnEvent func(Event)
	// Random fills its argument with random bytes; those of crypto/rand if it is nil.
	Random func([]byte)
}

// Defaults of a Dialer.
const (
	defaultInitiator   = "iqn.2026-01.org.gonet:initiator"
	defaultReplacement = 120 * time.Second
	defaultClientPing  = 10 * time.Second
	defaultPort        = "3260"
	maxRedirects       = 8

	// What this initiator would have.
	initiatorRecv  = 256 << 10
	initiatorBurst = 1 << 20
	initiatorFirst = 256 << 10
	initiatorR2Ts  = 16
)

func (d *Dialer) random(b []byte) {
	if d.Random != nil {
		d.Random(b)
		return
	}
	rand.Read(b)
}

// A Found is a target that a portal tells of.
type Found struct {
	Name      string
	Addresses []string // host:port,group
}

// Discover asks a portal, host or host:port, for its targets (RFC 7143, appendix C).
func (d *Dialer) Discover(ctx context.Context, address string) ([]Found, error) {
	c := d.newClient(address, "")
	k, err := c.dial(ctx)
	if err != nil {
		return nil, err
	}
	defer k.close()
	text, err := k.text(ctx, appendText(nil, []pair{{"SendTargets", "All"}}))
	if err != nil {
		return nil, err
	}
	var found []Found
	for _, p := range text {
		switch {
		case p.key == "TargetName":
			found = append(found, Found{Name: p.value})
		case p.key == "TargetAddress" && len(found) > 0:
			last := &found[len(found)-1]
			last.Addresses = append(last.Addresses, p.value)
		}
	}
	return found, k.logout(ctx)
}

// Session logs in to a target at a portal, host or host:port.
func (d *Dialer) Session(ctx context.Context, address, target string) (*Client, error) {
	if !validName(strings.ToLower(target)) {
		return nil, fmt.Errorf("iscsi: %q is no name of a target", target)
	}
	c := d.newClient(address, target)
	k, err := c.dial(ctx)
	if err != nil {
		return nil, err
	}
	c.link = k
	go c.supervise(k)
	return c, nil
}

// A Client is a session with a target. Its methods may be called at the same time. When
// its connection is lost it makes another, with the same ISID, so that the target ends
// the old session.
type Client struct {
	dialer  Dialer
	address string
	target  string
	isid    [6]byte
	pool    buffers.Pool

	token   chan struct{} // of what follows
	link    *link
	changed chan struct{} // closed when link or err change
	err     error         // for good
	closed  chan struct{}
	ended   chan struct{} // the supervisor
	made    int           // connections
}

// ErrClosed is what calls return after Close.
var ErrClosed = errors.New("iscsi: the session is closed")

func (d *Dialer) newClient(address, target string) *Client {
	c := &Client{
		dialer: *d, address: address, target: target,
		token: make(chan struct{}, 1), changed: make(chan struct{}),
		closed: make(chan struct{}), ended: make(chan struct{}),
	}
	d.random(c.isid[1:])
	c.isid[0] = 0x80 // random (RFC 7143, 11.12.5)
	return c
}

// current is the link, when there is one.
func (c *Client) current(ctx context.Context) (*link, error) {
	for {
		c.token <- struct{}{}
		k, err, changed := c.link, c.err, c.changed
		<-c.token
		if err != nil || k != nil && !k.over() {
			return k, err
		}
		select {
		case <-changed:
		case <-ctx.Done():
			return nil, ctx.Err()
		}
	}
}

// over says whether the link has ended; the supervisor will see it.
func (k *link) over() bool {
	select {
	case <-k.lost:
		return true
	default:
		return false
	}
}

// set changes the link.
func (c *Client) set(k *link, err error) {
	c.token <- struct{}{}
	c.link, c.err = k, err
	if k != nil {
		c.made++
	}
	close(c.changed)
	c.changed = make(chan struct{})
	<-c.token
}

// supervise is the process that owns the connections: it pings, and makes a new link
// when the one there was is lost or the target asks to log out.
func (c *Client) supervise(k *link) {
	defer close(c.ended)
	for {
		c.watch(k)
		select {
		case <-c.closed:
			c.set(nil, ErrClosed)
			return
		default:
		}
		c.set(nil, nil)
		k.close()
		var err error
		if k, err = c.replace(k.err); err != nil {
			c.set(nil, err)
			return
		}
		c.set(k, nil)
	}
}

// watch returns when the link is of no more use.
func (c *Client) watch(k *link) {
	interval := c.dialer.PingInterval
	if interval <= 0 {
		interval = defaultClientPing
	}
	tick := time.NewTicker(interval)
	defer tick.Stop()
	heard := k.heard.Load()
	for {
		select {
		case <-k.lost:
			return
		case <-c.closed:
			return
		case <-k.leaving:
			ctx, cancel := context.WithTimeout(context.Background(), time.Second)
			k.logout(ctx)
			cancel()
			return
		case <-tick.C:
			if now := k.heard.Load(); now != heard {
				heard = now
				continue
			}
			ctx, cancel := context.WithTimeout(context.Background(), interval)
			stop := context.AfterFunc(ctx, func() { k.conn.Close() })
			k.ping(ctx)
			stop()
			cancel()
		}
	}
}

// replace makes a new link, for as long as commands may wait.
func (c *Client) replace(lost error) (*link, error) {
	timeout := c.dialer.ReplacementTimeout
	switch {
	case timeout < 0:
		return nil, lost
	case timeout == 0:
		timeout = defaultReplacement
	}
	ctx, cancel := context.WithTimeout(context.Background(), timeout)
	defer cancel()
	pause := 50 * time.Millisecond
	for {
		k, err := c.dial(ctx)
		if err == nil {
			return k, nil
		}
		var refused *LoginError
		if errors.As(err, &refused) && refused.Class == 2 && refused.Detail != byte(loginNotFound&0xff) || errors.Is(err, ErrTargetUnproven) {
			return nil, err
		}
		select {
		case <-time.After(pause):
			pause = min(2*pause, 2*time.Second)
		case <-c.closed:
			return nil, ErrClosed
		case <-ctx.Done():
			return nil, errors.Join(errLost, err)
		}
	}
}

// Connections is how many connections the session has had.
func (c *Client) Connections() int {
	c.token <- struct{}{}
	defer func() { <-c.token }()
	return c.made + 1
}

// Close logs out and ends the session.
func (c *Client) Close() error {
	c.token <- struct{}{}
	select {
	case <-c.closed:
		<-c.token
		return nil
	default:
	}
	close(c.closed)
	k := c.link
	<-c.token
	var err error
	if k != nil {
		ctx, cancel := context.WithTimeout(context.Background(), 3*time.Second)
		err = k.logout(ctx)
		cancel()
		k.close()
	}
	<-c.ended
	if errors.Is(err, errLost) {
		return nil
	}
	return err
}

// A Result is the end of a SCSI command.
type Result struct {
	Status   scsi.Status
	Sense    []byte
	N        int // bytes of data-in that came
	Residual int // RFC 7143, 11.4.5: negative if the command would have transferred more
}

// Command does one SCSI command on a unit: data-out go from out, data-in into in. It is
// sent once: if the connection is lost while it is under way, nobody knows what has
// become of it, and the error says so.
func (c *Client) Command(ctx context.Context, lun int, cdb, out, in []byte) (Result, error) {
	k, err := c.current(ctx)
	if err != nil {
		return Result{}, err
	}
	flags := byte(flagFinal | attrSimple)
	n := 0
	if len(in) > 0 {
		flags, n = flags|flagRead, len(in)
	}
	if len(out) > 0 {
		flags, n = flags|flagWrite, len(out)
	}
	switch {
	case len(in) > 0 && len(out) > 0:
		return Result{}, errors.New("iscsi: a command with data both ways")
	case len(cdb) == 0 || len(cdb) > 16:
		return Result{}, fmt.Errorf("iscsi: a CDB of %d bytes", len(cdb))
	}
	h := newHeader(opCommand, flags, 0)
	h.setLUN(uint64(scsi.LUNOf(lun)))
	h.setWord(20, uint32(n))
	copy(h.cdb(), cdb)
	q := &call{header: h, out: out, in: in}
	if err := k.do(ctx, q); err != nil {
		return Result{}, err
	}
	return q.result()
}

// result is what the target has answered.
func (q *call) result() (r Result, err error) {
	a := &q.answer
	if a.opcode() == opResponse && a.response() != 0 {
		return r, fmt.Errorf("iscsi: the target cannot do the command: response %#02x", a.response())
	}
	r = Result{Status: scsi.Status(a.status()), N: q.received}
	switch f := a.flags(); {
	case f&flagUnderflow != 0:
		r.Residual = int(a.residual())
	case f&flagOverflow != 0:
		r.Residual = -int(a.residual())
	}
	if len(q.text) >= 2 {
		n := int(q.text[0])<<8 | int(q.text[1])
		r.Sense = q.text[2:min(len(q.text), 2+n)]
	}
	return r, nil
}
