package nbd

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"os"
	"path/filepath"
	"time"
)

// A Replay says what a client does with requests when a connection is lost and it
// connects again; that a server answers with ESHUTDOWN counts as such a loss, once for
// each request. What it does not send again fails with [ErrConnectionLost]. Requests
// that were not sent yet wait for the new connection.
//
// The server that a client finds again may be another process than before, which
// never saw what was not flushed. So, but with ReplayUnflushed, the next Sync after a
// loss fails if there were acknowledged writes that no Sync had made durable.
//
// The client resets lost connections, so that nothing more of them arrives. But no policy
// can help where the server still works on a request of a lost connection when it takes
// the new one, and so does an old write after a later one to the same range.
type Replay uint8

const (
	// ReplayReads sends again what changes nothing.
	ReplayReads Replay = iota
	// ReplayWrites also sends again writes under way.
	ReplayWrites
	// ReplayUnflushed also keeps copies of the writes that were acknowledged and not
	// yet made durable by a Sync, and sends them again, in their order, before anything
	// else.
	ReplayUnflushed
)

// A Dialer makes clients. Its zero value is ready: one connection, no reconnecting.
type Dialer struct {
	// DialContext makes connections: net.Dialer's if nil, or that of a gonet.Stack.
	DialContext func(ctx context.Context, network, address string) (net.Conn, error)
	// TLS is for nbds URIs, and for NewClient, which starts TLS if it is not nil. With
	// a URI, its host is the ServerName unless this has one.
	TLS *tls.Config
	// Connections are made where the server allows several (CAN_MULTI_CONN); 1 if zero,
	// at most 64. Requests go over whichever has nothing to do.
	Connections int
	// MaxRequests are under way on one connection; 64 if zero, at most 4096.
	MaxRequests int
	// Contexts are meta contexts beside base:allocation to ask for. Those that the
	// server has are in [Client.MetaContexts].
	Contexts []string

	// ReconnectTimeout is for how long a lost connection is tried to be made again,
	// while calls wait. Zero never tries, and a lost connection ends the client. A
	// client that was made with NewClient never tries.
	ReconnectTimeout time.Duration
	Replay           Replay
	// MaxUnflushed is how many bytes ReplayUnflushed keeps; before there are more the
	// client flushes. 64 MiB if zero.
	MaxUnflushed int64
	// RequestTimeout is after how long without any reply, while requests are under way,
	// a connection counts as lost, or up to twice as long. Zero waits for ever:
	// only contexts end calls then.
	RequestTimeout time.Duration
	// HandshakeTimeout is for the handshake of one connection; 30 s if zero.
	HandshakeTimeout time.Duration

	// Simple asks for neither structured replies nor extended headers, and
	// NoExtendedHeaders for the latter not: for servers that get them wrong.
	Simple            bool
	NoExtendedHeaders bool
}

// Dial is Dial of a zero [Dialer].
func Dial(ctx context.Context, uri string) (*Client, error) { return new(Dialer).Dial(ctx, uri) }

// NewClient is NewClient of a zero [Dialer].
func NewClient(ctx context.Context, export string, conns ...net.Conn) (*Client, error) {
	return new(Dialer).NewClient(ctx, export, conns...)
}

// List is List of a zero [Dialer].
func List(ctx context.Context, uri string) ([]ExportInfo, error) { return new(Dialer).List(ctx, uri) }

// Dial connects to an export: nbd://HOST[:PORT]/EXPORT, nbd+unix:///EXPORT?socket=PATH,
// or with TLS the same with nbds. The context is for the dialling only.
func (d *Dialer) Dial(ctx context.Context, uri string) (*Client, error) {
	t, config, err := d.target(uri)
	if err != nil {
		return nil, err
	}
	dial := func(ctx context.Context) (*opened, error) {
		conn, err := d.connect(ctx, t)
		if err != nil {
			return nil, err
		}
		return open(ctx, conn, d.negotiation(t.export, t.tls), config, d.HandshakeTimeout)
	}
	first, err := dial(ctx)
	if err != nil {
		return nil, err
	}
	all := []*opened{first}
	for first.info.Flags.Has(FlagCanMultiConn) && len(all) < d.connections() {
		o, err := dial(ctx)
		if err == nil {
			if err = sameExport(first, o); err != nil {
				o.conn.Close()
			}
		}
		if err != nil {
			closeAll(all)
			return nil, err
		}
		all = append(all, o)
	}
	return newClient(d, all, dial), nil
}

// NewClient is a client of connections that are there, which it closes when it ends
// or fails. More than one need a server that allows it.
func (d *Dialer) NewClient(ctx context.Context, export string, conns ...net.Conn) (*Client, error) {
	var all []*opened
	fail := func(rest []net.Conn, err error) (*Client, error) {
		closeAll(all)
		for _, c := range rest {
			c.Close()
		}
		return nil, err
	}
	if len(conns) == 0 || len(conns) > mostConnections {
		return fail(conns, fmt.Errorf("nbd: a client of %d connections", len(conns)))
	}
	for i, conn := range conns {
		o, err := open(ctx, conn, d.negotiation(export, d.TLS != nil), d.TLS, d.HandshakeTimeout)
		if err != nil {
			return fail(conns[i+1:], err)
		}
		all = append(all, o)
		if err := sameExport(all[0], o); err != nil {
			return fail(conns[i+1:], err)
		}
		if len(conns) > 1 && !o.info.Flags.Has(FlagCanMultiConn) {
			return fail(conns[i+1:], errors.New("nbd: the server does not allow several connections"))
		}
	}
	return newClient(d, all, nil), nil
}

// List returns what a server exports, with what it tells of each export. The export
// in the URI does not matter.
func (d *Dialer) List(ctx context.Context, uri string) ([]ExportInfo, error) {
	t, config, err := d.target(uri)
	if err != nil {
		return nil, err
	}
	conn, err := d.connect(ctx, t)
	if err != nil {
		return nil, err
	}
	n := d.negotiation("", t.tls)
	n.list = true
	o, err := open(ctx, conn, n, config, d.HandshakeTimeout)
	if err != nil {
		return nil, err
	}
	o.conn.Close()
	return n.listed, nil
}

const (
	mostConnections     = 64
	mostClientRequests  = 4096
	defaultMaxUnflushed = 64 << 20
)

func (d *Dialer) connections() int { return min(max(d.Connections, 1), mostConnections) }

func (d *Dialer) maxRequests() int {
	if d.MaxRequests <= 0 {
		return defaultMaxRequests
	}
	return min(d.MaxRequests, mostClientRequests)
}

func (d *Dialer) negotiation(export string, tls bool) *clientNegotiation {
	n := &clientNegotiation{export: export, tls: tls, most: headersExtended}
	n.contexts = append([]string{contextAllocation}, d.Contexts...)
	if d.NoExtendedHeaders {
		n.most = headersStructured
	}
	if d.Simple {
		n.most = headersSimple
	}
	return n
}

// target is where a URI leads, with its configuration of TLS, or nil.
func (d *Dialer) target(uri string) (target, *tls.Config, error) {
	t, err := parseURI(uri)
	if err != nil {
		return target{}, nil, err
	}
	config, err := d.tlsConfig(t)
	return t, config, err
}

func (d *Dialer) connect(ctx context.Context, t target) (net.Conn, error) {
	if d.DialContext != nil {
		return d.DialContext(ctx, t.network, t.address)
	}
	return new(net.Dialer).DialContext(ctx, t.network, t.address)
}

// tlsConfig is the configuration for a URI. The directory of tls-certificates holds
// ca-cert.pem, client-cert.pem and client-key.pem, of which each may be missing.
func (d *Dialer) tlsConfig(t target) (*tls.Config, error) {
	if !t.tls {
		return nil, nil
	}
	config := &tls.Config{}
	if d.TLS != nil {
		config = d.TLS.Clone()
	}
	if config.ServerName == "" {
		config.ServerName = t.serverName
	}
	if t.certificates == "" {
		return config, nil
	}
	ca, err := os.ReadFile(filepath.Join(t.certificates, "ca-cert.pem"))
	if err == nil {
		config.RootCAs = x509.NewCertPool()
		if !config.RootCAs.AppendCertsFromPEM(ca) {
			return nil, fmt.Errorf("nbd: no certificate in ca-cert.pem of %s", t.certificates)
		}
	} else if !errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("nbd: %w", err)
	}
	cert, err := tls.LoadX509KeyPair(filepath.Join(t.certificates, "client-cert.pem"), filepath.Join(t.certificates, "client-key.pem"))
	if err == nil {
		config.Certificates = []tls.Certificate{cert}
	} else if !errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("nbd: %w", err)
	}
	return config, nil
}

func closeAll(all []*opened) {
	for _, o := range all {
		o.conn.Close()
	}
}
