package compat

import (
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"io"
	"net"
	"net/http"
	"net/netip"
	"testing"
	"time"

	"github.com/quic-go/quic-go"
	"github.com/quic-go/quic-go/http3"

	"github.com/seed-012105e5/gonet/internal/selfsigned"
)

// TestHTTP3 moves megabytes by quic-go between the stack and the kernel, either
// serving.
func TestHTTP3(t *testing.T) {
	h := newHost(t)
	socket := func() net.PacketConn {
		c, err := h.ListenPacket("udp", ours+":0")
		must(t, err)
		return c
	}
	server, err := h.ListenPacket("udp", ours+":443")
	must(t, err)
	for name, c := range map[string]struct {
		server, client net.PacketConn
		at             string
	}{
		"we serve": {server, h.packetsKernel(t, kernel+":0"), ours + ":443"},
		"we ask":   {h.packetsKernel(t, kernel+":443"), socket(), kernel + ":443"},
	} {
		t.Run(name, func(t *testing.T) {
			defer c.server.Close()
			defer c.client.Close()
			fetchHTTP3(t, c.server, c.client, c.at)
		})
	}
}

func fetchHTTP3(t *testing.T, server, client net.PacketConn, at string) {
	addr := netip.MustParseAddrPort(at)
	certificate, err := selfsigned.Certificate(addr.Addr(), time.Now())
	must(t, err)
	leaf, err := x509.ParseCertificate(certificate.Certificate[0])
	must(t, err)
	roots := x509.NewCertPool()
	roots.AddCert(leaf)
	body := bytes.Repeat([]byte("http3 "), 1<<20)
	web := &http3.Server{
		TLSConfig: http3.ConfigureTLSConfig(&tls.Config{Certificates: []tls.Certificate{certificate}}),
		Handler:   http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { io.Copy(io.Discard, r.Body); w.Write(body) }),
	}
	ended := make(chan error, 1)
	go func() { ended <- web.Serve(server) }()
	transport := quic.Transport{Conn: client}
	defer transport.Close()
	round := &http3.Transport{
		TLSClientConfig: &tls.Config{RootCAs: roots, ServerName: addr.Addr().String()},
		Dial: func(ctx context.Context, _ string, cfg *tls.Config, q *quic.Config) (*quic.Conn, error) {
			return transport.DialEarly(ctx, net.UDPAddrFromAddrPort(addr), cfg, q)
		},
	}
	defer round.Close()
	ctx, cancel := context.WithTimeout(t.Context(), 40*time.Second)
	defer cancel()
	request, err := http.NewRequestWithContext(ctx, "POST", "https://"+at+"/", bytes.NewReader(body))
	must(t, err)
	response, err := round.RoundTrip(request)
	must(t, err)
	got, err := io.ReadAll(response.Body)
	if err != nil || !bytes.Equal(got, body) || response.ProtoMajor != 3 {
		t.Errorf("%s: %d of %d bytes, %v", response.Proto, len(got), len(body), err)
	}
	web.Close()
	<-ended
}
