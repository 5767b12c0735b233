package stack

import (
	"bytes"
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	crand "crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"math/big"
	"net"
	"net/http"
	"testing"
	"time"
)

// newCertificate returns a server's certificate for 10.0.0.2, and the pool of
// a client that trusts it.
func newCertificate(t *testing.T) (tls.Certificate, *x509.CertPool) {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), crand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), IPAddresses: []net.IP{net.IPv4(10, 0, 0, 2)},
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(24 * time.Hour),
		IsCA: true, BasicConstraintsValid: true,
	}
	der, err := x509.CreateCertificate(crand.Reader, template, template, &key.PublicKey, key)
	if err != nil {
		t.Fatal(err)
	}
	cert, err := x509.ParseCertificate(der)
	if err != nil {
		t.Fatal(err)
	}
	pool := x509.NewCertPool()
	pool.AddCert(cert)
	return tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key, Leaf: cert}, pool
}

func TestTLS(t *testing.T) {
	inBubble(t, func(t *testing.T) {
		p := newPair(t)
		defer p.close()
		cert, pool := newCertificate(t)
		l := tls.NewListener(listen(t, p.b, ":443"), &tls.Config{Certificates: []tls.Certificate{cert}})
		defer l.Close()
		go echo(l)
		raw := dial(t, p.a, "10.0.0.2:443")
		c := tls.Client(raw, &tls.Config{RootCAs: pool, ServerName: "10.0.0.2"})
		defer c.Close()
		want := payload(1_000_000)
		go func() {
			if _, err := c.Write(want); err != nil {
				t.Error(err)
			}
			c.CloseWrite()
		}()
		if got, err := io.ReadAll(c); err != nil || !bytes.Equal(got, want) {
			t.Errorf("%d bytes came back, %v", len(got), err)
		}
	})
}

// A peer that stops in the middle of a handshake is found by the deadline.
func TestTLSHandshakeTimeout(t *testing.T) {
	inBubble(t, func(t *testing.T) {
		p := newPair(t)
		defer p.close()
		c, silent := p.connect(t)
		defer silent.Close()
		defer c.Close()
		ctx, cancel := context.WithTimeout(t.Context(), 3*time.Second)
		defer cancel()
		start := time.Now()
		err := tls.Client(c, &tls.Config{ServerName: "10.0.0.2"}).HandshakeContext(ctx)
		if !errors.Is(err, context.DeadlineExceeded) || time.Since(start) != 3*time.Second {
			t.Errorf("the handshake ended with %v after %v", err, time.Since(start))
		}
	})
}

// TestHTTP2 runs in real time: package http keeps channels for later use, and
// a channel must not leave its bubble.
func TestHTTP2(t *testing.T) {
	inRealTime(t, func(t *testing.T) {
		p := newPair(t)
		defer p.close()
		cert, pool := newCertificate(t)
		cancelled := make(chan struct{})
		mux := http.NewServeMux()
		mux.HandleFunc("/hello/", hello)
		mux.HandleFunc("/echo", copyBody)
		mux.HandleFunc("/endless", func(w http.ResponseWriter, r *http.Request) {
			for r.Context().Err() == nil {
				w.Write(make([]byte, 10_000))
			}
			close(cancelled)
		})
		server := &http.Server{Handler: mux, TLSConfig: &tls.Config{Certificates: []tls.Certificate{cert}}}
		l := listen(t, p.b, ":443")
		ended := make(chan error)
		go func() { ended <- server.ServeTLS(l, "", "") }()
		defer func() {
			server.Close()
			<-ended
		}()
		transport := &http.Transport{
			DialContext: p.a.DialContext, ForceAttemptHTTP2: true, TLSClientConfig: &tls.Config{RootCAs: pool},
		}
		defer transport.CloseIdleConnections()
		client := &http.Client{Transport: transport, Timeout: 20 * time.Second}
		testHTTP2(t, p, client, cancelled)
	})
}

func testHTTP2(t *testing.T, p pair, client *http.Client, cancelled <-chan struct{}) {
	if resp, body := fetch(t, client, "GET", "https://10.0.0.2/hello/0", nil); resp.ProtoMajor != 2 || string(body) != "hello, /hello/0" {
		t.Fatalf("answer %q by %s", body, resp.Proto)
	}
	done := make(chan string)
	for i := range 50 {
		go func() {
			_, body := fetch(t, client, "GET", fmt.Sprintf("https://10.0.0.2/hello/%d", i), nil)
			done <- string(body)
		}()
	}
	seen := map[string]bool{}
	for range 50 {
		seen[<-done] = true
	}
	if len(seen) != 50 {
		t.Errorf("%d different answers, want 50", len(seen))
	}
	want := payload(2_000_000)
	if _, got := fetch(t, client, "POST", "https://10.0.0.2/echo", bytes.NewReader(want)); !bytes.Equal(got, want) {
		t.Errorf("%d bytes came back, want the %d that were sent", len(got), len(want))
	}
	ctx, cancel := context.WithCancel(t.Context())
	req, _ := http.NewRequestWithContext(ctx, "GET", "https://10.0.0.2/endless", nil)
	resp, err := client.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	io.CopyN(io.Discard, resp.Body, 1_000_000)
	cancel()
	resp.Body.Close()
	<-cancelled
	if n := p.b.Stats()["tcp.PassiveOpens"]; n != 1 {
		t.Errorf("HTTP/2 made %d connections, want 1", n)
	}
}
