package nbd

import (
	"bytes"
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"errors"
	"io"
	"math/big"
	"net"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/seed-012105e5/gonet/storage/block"
)

// TestShutdownDrains has requests in the device and in the server's buffer when it
// is shut down: the former are done, the latter told ESHUTDOWN, and the connection
// ends.
func TestShutdownDrains(t *testing.T) {
	for name, end := range map[string]func(s *Server, ctx context.Context) error{
		"Shutdown": func(s *Server, ctx context.Context) error { return s.Shutdown(ctx) },
		"Remove":   func(s *Server, ctx context.Context) error { return s.Remove(ctx, "a") },
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				d, other := newScript(), newScript()
				s := newServer(t, d, other)
				defer s.Close()
				d.before = func(op string, _ int64) error {
					if op == "write" {
						time.Sleep(20 * time.Second)
					}
					return nil
				}
				c, idle, spectator := dialRaw(t, s), dialRaw(t, s), dialRaw(t, s)
				c.negotiate(headersSimple, "a")
				idle.negotiate(headersSimple, "a")
				spectator.negotiate(headersSimple, "b")
				c.send(request{0, cmdWrite, 1, 0, 3}, []byte("abc"))
				synctest.Wait()
				done := make(chan error)
				go func() { done <- end(s, t.Context()) }()
				if a := c.receive(0); a.cookie != 1 || a.errno != 0 {
					t.Errorf("%+v", a)
				}
				c.ends(name)
				idle.ends(name)
				if name == "Remove" {
					spectator.alive()
				} else {
					spectator.ends(name)
				}
				if err := <-done; err != nil {
					t.Error(err)
				}
				b := make([]byte, 3)
				if d.Memory.ReadAt(b, 0); string(b) != "abc" {
					t.Errorf("the device has %q", b)
				}
			})
		})
	}
}

// TestShutdownRefusesRest checks what becomes of requests that were received with
// others and not begun.
func TestShutdownRefusesRest(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := newScript()
		d.before = func(string, int64) error { time.Sleep(20 * time.Second); return nil }
		s := &Server{MaxRequests: 1}
		if err := s.Add(Export{Name: "a", Device: d}); err != nil {
			t.Fatal(err)
		}
		c := dialRaw(t, s)
		c.negotiate(headersStructured, "a")
		var b []byte
		for i := range 4 {
			b = append(appendRequest(b, request{0, cmdWrite, uint64(i), 0, 3}, c.style), "abc"...)
		}
		c.write(b)
		time.Sleep(time.Second) // until somebody else leads
		synctest.Wait()
		done := make(chan error)
		go func() { done <- s.Shutdown(t.Context()) }()
		for i := range 4 {
			a := c.receive(0)
			if want := [4]Errno{0, 0, ESHUTDOWN, ESHUTDOWN}[i]; a.errno != want || a.cookie != uint64(i) {
				t.Errorf("reply %d: %+v, want %d", i, a, want)
			}
		}
		c.ends("Shutdown")
		if err := <-done; err != nil {
			t.Error(err)
		}
		if err := s.Add(Export{Name: "b", Device: d}); !errors.Is(err, ErrServerClosed) {
			t.Errorf("Add after Shutdown: %v", err)
		}
	})
}

// TestShutdownHandshake checks that a client in its handshake hears of it, and does
// not hold the server up.
func TestShutdownHandshake(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newServer(t, block.NewMemory(1))
		c, silent := dialRaw(t, s), dialRaw(t, s)
		synctest.Wait()
		done := make(chan error)
		go func() { done <- s.Shutdown(t.Context()) }()
		synctest.Wait()
		c.want(optList, nil, repErrShutdown)
		silent.ends("Shutdown")
		if err := <-done; err != nil {
			t.Error(err)
		}
	})
}

// TestRemoveCutsOff checks that a device that never answers delays Remove no longer
// than its context.
func TestRemoveCutsOff(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := newScript()
		release := make(chan struct{})
		d.before = func(string, int64) error { <-release; return nil }
		s := newServer(t, d)
		c := dialRaw(t, s)
		c.negotiate(headersSimple, "a")
		c.send(request{0, cmdRead, 1, 0, 3}, nil)
		synctest.Wait()
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		if err := s.Remove(ctx, "a"); !errors.Is(err, context.DeadlineExceeded) {
			t.Error(err)
		}
		c.ends("Remove")
		if err := s.Remove(t.Context(), "a"); err == nil {
			t.Error("an export that is gone can be removed")
		}
		if err := s.Add(Export{Name: "a", Device: block.NewMemory(5)}); err != nil {
			t.Error(err)
		}
		c = dialRaw(t, s)
		c.negotiate(headersSimple, "a")
		if c.size != 5 {
			t.Errorf("size %d of the new export", c.size)
		}
		close(release)
		s.Close()
	})
}

// TestHandshakeBounds has clients that connect and say nothing, or stop half-way.
func TestHandshakeBounds(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newServer(t, block.NewMemory(1<<20))
		s.HandshakeTimeout = time.Second
		s.MaxHandshakes = 3
		s.MaxConns = 5
		for _, sent := range [][]byte{nil, {0, 0}, {0, 0, 0, 1}, append([]byte{0, 0, 0, 1}, appendOptionHeader(nil, optionHeader{optGo, 100})...)} {
			near, far := net.Pipe()
			go s.ServeConn(far)
			c := &rawClient{t: t, conn: near}
			c.read(greetingSize)
			c.write(append(sent, []byte{}...))
			start := time.Now()
			c.ends("a client that says nothing")
			if took := time.Since(start); took != time.Second {
				t.Errorf("after %x the server waited %v", sent, took)
			}
		}
		// One that never even reads the greeting.
		near, far := net.Pipe()
		if err := s.ServeConn(far); err == nil {
			t.Error("no error")
		}
		near.Close()

		// The oldest goes for one more; who has chosen an export stays.
		chosen := dialRaw(t, s)
		chosen.negotiate(headersSimple, "a")
		var waiting []*rawClient
		for range 4 {
			waiting = append(waiting, dialRaw(t, s))
		}
		waiting[0].ends("the oldest of too many handshakes")
		synctest.Wait()
		waiting[3].negotiate(headersSimple, "a")
		chosen.alive()
		waiting[3].alive()
		near, far = net.Pipe()
		go s.ServeConn(far)
		fifth := &rawClient{t: t, conn: near}
		fifth.hello(flagFixedNewstyle)
		near, far = net.Pipe()
		if err := s.ServeConn(far); !errors.Is(err, errTooMany) {
			t.Errorf("one more than MaxConns: %v", err)
		}
		(&rawClient{t: t, conn: near}).ends("one more than MaxConns")
		s.Shutdown(t.Context())
		stats := s.Stats()
		if stats["HandshakesEvicted"] != 1 || stats["ConnectionsRefused"] != 1 || stats["HandshakeTimeouts"] < 5 || stats["ConnectionsOpen"] != 0 {
			t.Errorf("counters:\n%v", stats)
		}
	})
}

// TestServeListener checks that Serve ends with the server, and its listener.
func TestServeListener(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	s := newServer(t, block.NewMemory(1<<20))
	done := make(chan error)
	go func() { done <- s.Serve(l) }()
	conn, err := net.Dial("tcp", l.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	c := &rawClient{t: t, conn: conn}
	c.hello(flagFixedNewstyle)
	c.negotiate(headersExtended, "a", contextAllocation)
	c.alive()
	if err := s.Shutdown(t.Context()); err != nil {
		t.Error(err)
	}
	if err := <-done; !errors.Is(err, ErrServerClosed) {
		t.Errorf("Serve: %v", err)
	}
	c.ends("Shutdown")
	if err := s.Serve(l); !errors.Is(err, ErrServerClosed) {
		t.Errorf("Serve after Shutdown: %v", err)
	}
	if text := s.Stats().String(); !strings.Contains(text, "Requests.READ") {
		t.Errorf("Stats has no reads:\n%s", text)
	}
}

// TestLastReplyArrives shuts a server down while its client goes on sending, over
// the kernel's TCP, where a close with requests unread would send a reset that
// overtakes the last replies.
func TestLastReplyArrives(t *testing.T) {
	for range 20 {
		l, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		d := newScript()
		began := make(chan struct{})
		d.before = func(string, int64) error {
			close(began)
			time.Sleep(5 * time.Millisecond)
			return nil
		}
		s := newServer(t, d)
		go s.Serve(l)
		conn, err := net.Dial("tcp", l.Addr().String())
		if err != nil {
			t.Fatal(err)
		}
		c := &rawClient{t: t, conn: conn}
		c.hello(flagFixedNewstyle)
		c.negotiate(headersSimple, "a")
		c.send(request{0, cmdWrite, 1, 0, 3}, []byte("abc"))
		<-began
		go s.Shutdown(t.Context())
		time.Sleep(2 * time.Millisecond)
		conn.Write(make([]byte, 100<<10)) // never read
		if a := c.receive(0); a.cookie != 1 || a.errno != 0 {
			t.Errorf("%+v", a)
		}
		conn.Close()
	}
}

// An authority signs certificates for tests.
type authority struct {
	cert *x509.Certificate
	key  *ecdsa.PrivateKey
	pool *x509.CertPool
}

func newAuthority(t *testing.T) *authority {
	t.Helper()
	a := &authority{pool: x509.NewCertPool()}
	a.cert, a.key = a.sign(t, "authority")
	a.pool.AddCert(a.cert)
	return a
}

// sign makes a certificate of the name, of a itself the first time.
func (a *authority) sign(t *testing.T, name string) (*x509.Certificate, *ecdsa.PrivateKey) {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(time.Now().UnixNano()),
		Subject:      pkix.Name{CommonName: name},
		DNSNames:     []string{name},
		IPAddresses:  []net.IP{net.IPv4(127, 0, 0, 1)},
		NotBefore:    time.Now().Add(-time.Hour),
		NotAfter:     time.Now().Add(24 * time.Hour),
		KeyUsage:     x509.KeyUsageDigitalSignature | x509.KeyUsageCertSign,
		ExtKeyUsage:  []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth, x509.ExtKeyUsageClientAuth},
	}
	parent, parentKey := a.cert, a.key
	if parent == nil {
		template.IsCA, template.BasicConstraintsValid = true, true
		parent, parentKey = template, key
	}
	der, err := x509.CreateCertificate(rand.Reader, template, parent, &key.PublicKey, parentKey)
	if err != nil {
		t.Fatal(err)
	}
	cert, err := x509.ParseCertificate(der)
	if err != nil {
		t.Fatal(err)
	}
	return cert, key
}

// issue is sign for package tls.
func (a *authority) issue(t *testing.T, name string) tls.Certificate {
	cert, key := a.sign(t, name)
	return tls.Certificate{Certificate: [][]byte{cert.Raw}, PrivateKey: key}
}

// startTLS upgrades c, as the client of the name, or of none.
func (c *rawClient) startTLS(a *authority, cert *tls.Certificate) error {
	c.t.Helper()
	c.want(optStartTLS, nil, repAck)
	cfg := &tls.Config{RootCAs: a.pool, ServerName: "server"}
	if cert != nil {
		cfg.Certificates = []tls.Certificate{*cert}
	}
	conn := tls.Client(c.conn, cfg)
	c.conn.SetDeadline(time.Now().Add(time.Minute))
	if err := conn.Handshake(); err != nil {
		return err
	}
	c.conn = conn
	return nil
}

// TestServerTLS walks modes, certificates, and what they let a client see.
func TestServerTLS(t *testing.T) {
	a := newAuthority(t)
	stranger := newAuthority(t)
	alice, mallory := a.issue(t, "alice"), stranger.issue(t, "alice")
	serve := func(mode TLSMode, auth tls.ClientAuthType) *Server {
		s := &Server{TLSMode: mode, TLS: &tls.Config{Certificates: []tls.Certificate{a.issue(t, "server")}, ClientCAs: a.pool, ClientAuth: auth}}
		for _, e := range []Export{
			{Name: "open"}, {Name: "secret", TLSOnly: true},
			{Name: "alice", TLSOnly: true, Visible: func(state *tls.ConnectionState) bool {
				return len(state.PeerCertificates) > 0 && state.PeerCertificates[0].Subject.CommonName == "alice"
			}},
		} {
			e.Device = block.NewMemory(1 << 20)
			if err := s.Add(e); err != nil {
				t.Fatal(err)
			}
		}
		return s
	}
	names := func(c *rawClient) string {
		var all []string
		for _, r := range c.option(optList, nil) {
			if r.typ == repServer {
				name, _, _ := parseServer(r.data)
				all = append(all, name)
			}
		}
		return strings.Join(all, " ")
	}
	t.Run("allowed", func(t *testing.T) {
		s := serve(TLSAllowed, tls.VerifyClientCertIfGiven)
		defer s.Close()
		c := dialRaw(t, s)
		if got := names(c); got != "open" {
			t.Errorf("in the clear: %s", got)
		}
		c.want(optExtendedHeaders, nil, repAck)
		if err := c.startTLS(a, nil); err != nil {
			t.Fatal(err)
		}
		if got := names(c); got != "open secret" {
			t.Errorf("by TLS: %s", got)
		}
		c.negotiate(headersStructured, "secret", contextAllocation) // what was set in the clear is forgotten
		c.alive()
		c.send(request{0, cmdDisc, 0, 0, 0}, nil)
		if b, err := io.ReadAll(c.conn); len(b) > 0 || err != nil { // a close_notify, or there would be an error
			t.Errorf("after DISC: %x, %v", b, err)
		}
	})
	t.Run("certificates", func(t *testing.T) {
		s := serve(TLSRequired, tls.RequireAndVerifyClientCert)
		defer s.Close()
		c := dialRaw(t, s)
		c.want(optList, nil, repErrTLSRequired)
		if err := c.startTLS(a, &alice); err != nil {
			t.Fatal(err)
		}
		if got := names(c); got != "alice open secret" {
			t.Errorf("alice: %s", got)
		}
		c.negotiate(headersExtended, "alice")
		c.alive()
		big := bytes.Repeat([]byte("large"), 100<<10)
		c.do(request{cmdFlagPayloadLen, cmdWrite, 1, 0, uint64(len(big))}, big, 0)
		if r := c.do(request{0, cmdRead, 2, 0, uint64(len(big))}, nil, 0); !bytes.Equal(r.data[0], big) {
			t.Error("what was read by TLS is not what was written")
		}
		for name, cert := range map[string]*tls.Certificate{"no certificate": nil, "a stranger's": &mallory} {
			c := dialRaw(t, s)
			err := c.startTLS(a, cert)
			if err == nil { // with TLS 1.3 the client learns it when it reads
				_, err = c.conn.Read(make([]byte, 1))
			}
			if err == nil {
				t.Errorf("%s is let in", name)
			}
		}
	})
	t.Run("in the clear after STARTTLS", func(t *testing.T) {
		s := serve(TLSAllowed, 0)
		defer s.Close()
		c := dialRaw(t, s)
		c.write(appendOption(appendOption(nil, optStartTLS, nil), optList, nil))
		c.read(optionReplySize)
		c.ends("an injected option")
	})
	t.Run("required without configuration", func(t *testing.T) {
		s := &Server{TLSMode: TLSRequired}
		_, far := net.Pipe()
		if err := s.ServeConn(far); !errors.Is(err, errNoTLS) {
			t.Error(err)
		}
	})
}

// TestNoGoroutineLeft runs many connections that end in different ways in a bubble,
// which fails if a goroutine is left.
func TestNoGoroutineLeft(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newServer(t, newScript())
		for i := range 30 {
			c := dialRaw(t, s)
			if i%3 > 0 {
				c.negotiate(styles[i%2], "a")
				c.alive()
			}
			if i%3 == 2 {
				c.send(request{0, cmdDisc, 0, 0, 0}, nil)
				c.ends("DISC")
			}
			c.conn.Close()
		}
		synctest.Wait()
		if n := s.Stats()["ConnectionsOpen"]; n != 0 {
			t.Errorf("%d connections are open", n)
		}
	})
}
