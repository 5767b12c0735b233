// Package service is what the server of a measurement does, on any stack.
package service

import (
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/netip"
	"slices"
	"time"

	"github.com/seed-012105e5/gonet/internal/selfsigned"
	"github.com/seed-012105e5/gonet/paper/internal/agent"
	"github.com/seed-012105e5/gonet/paper/internal/subject"
)

// What a server can do, and at which port of package agent it does it.
const (
	Sink    = subject.Sink    // reads what comes
	Discard = subject.Discard // the same without copying it, where the stack offers that
	Source  = subject.Source  // sends without end
	Echo    = subject.Echo    // sends back what comes, in small pieces
	UDPEcho = subject.UDPEcho // the same with datagrams
	HTTP    = "http"          // has a body of the size that the task says
	HTTPS   = "https"
)

// Start starts the stack of a task in this process, and serves.
func Start(t agent.Task) (agent.Worker, error) {
	s, err := subject.ByKey(t.Subject)
	if err != nil {
		return agent.Worker{}, err
	}
	if s.Files {
		if err := agent.RaiseLimit(t.Streams); err != nil {
			return agent.Worker{}, err
		}
	}
	c := new(agent.Counters)
	stack, err := begin(s, t, c)
	if err != nil {
		return agent.Worker{}, err
	}
	if teller, ok := stack.(interface{ Tell() agent.Told }); ok {
		c.Told = teller.Tell
	}
	w := agent.Worker{Counters: c, Close: stack.Close}
	if t.Profile != "" {
		if w.End, err = startProfile(t.Profile, stack); err != nil {
			return w, err
		}
	}
	if t.Trace != "" {
		w.Phases = []func() error{tracePhase(t.Trace, t.PhaseTime, c)}
	}
	return w, nil
}

// begin starts the stack, or what is there instead, and the service of a task.
func begin(s subject.Subject, t agent.Task, c *agent.Counters) (io.Closer, error) {
	cfg := subject.Config{Addr: t.Server, Peer: t.Peer, Cables: t.Cables, Congestion: t.Congestion, BusyPoll: t.BusyPoll, Queues: t.Queues}
	if s.Serve != nil {
		if !slices.Contains(s.Works, t.Work) {
			return nil, fmt.Errorf("%s cannot do %s", s.Name, t.Work)
		}
		return s.Serve(cfg, t.Work, c)
	}
	stack, err := s.Start(cfg)
	if err != nil {
		return nil, err
	}
	if err := serve(stack, t, c); err != nil {
		return nil, errors.Join(err, stack.Close())
	}
	return stack, nil
}

// serve begins with the service of a task.
func serve(s subject.Stack, t agent.Task, c *agent.Counters) error {
	switch t.Work {
	case Sink:
		return accept(s, agent.PortSink, c, sink)
	case Discard:
		return accept(s, agent.PortSink, c, discard)
	case Source:
		return accept(s, agent.PortSource, c, source)
	case Echo:
		return accept(s, agent.PortEcho, c, echo)
	case UDPEcho:
		p, err := s.ListenPacket(agent.PortEcho)
		if err == nil {
			go echoPackets(p, c)
		}
		return err
	case HTTP, HTTPS:
		return serveHTTP(s, t, c)
	}
	return fmt.Errorf("no service %q", t.Work)
}

// accept has each connection at a port served by a goroutine of its own.
func accept(s subject.Stack, port uint16, c *agent.Counters, handle func(net.Conn, *agent.Counters)) error {
	l, err := s.Listen(port)
	if err != nil {
		return err
	}
	go func() {
		for {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			c.Open.Add(1)
			go func() {
				handle(conn, c)
				conn.Close()
				c.Open.Add(-1)
			}()
		}
	}()
	return nil
}

// chunk is the size of reads and writes of bulk transfers, in bytes.
const chunk = 256 << 10

func sink(conn net.Conn, c *agent.Counters) {
	for buf := make([]byte, chunk); ; {
		n, err := conn.Read(buf)
		c.Bytes.Add(uint64(n))
		if err != nil {
			return
		}
	}
}

// discard lets the connection give its memory where it can: GoNet's lends the
// packets. The kernel's has such a method too, which reads into a buffer.
func discard(conn net.Conn, c *agent.Counters) {
	w, ok := conn.(io.WriterTo)
	if _, kernel := conn.(*net.TCPConn); !ok || kernel {
		sink(conn, c)
		return
	}
	w.WriteTo(meter{c}) // until the connection ends
}

// A meter counts what is written to it.
type meter struct{ c *agent.Counters }

func (m meter) Write(p []byte) (int, error) {
	m.c.Bytes.Add(uint64(len(p)))
	return len(p), nil
}

func source(conn net.Conn, c *agent.Counters) {
	for buf := make([]byte, chunk); ; {
		n, err := conn.Write(buf)
		c.Bytes.Add(uint64(n))
		if err != nil {
			return
		}
	}
}

// echo has a small buffer, so that idle connections are not measured by it.
func echo(conn net.Conn, c *agent.Counters) {
	for buf := make([]byte, 16); ; {
		n, err := conn.Read(buf)
		if err != nil {
			return
		}
		if _, err := conn.Write(buf[:n]); err != nil {
			return
		}
		c.Requests.Add(1)
	}
}

// A packetConn takes and gives addresses without an allocation for each.
type packetConn interface {
	ReadFromAddrPort(p []byte) (int, netip.AddrPort, error)
	WriteToAddrPort(p []byte, to netip.AddrPort) (int, error)
}

// echoPackets sends datagrams back. What is lost is the client's to notice.
func echoPackets(p net.PacketConn, c *agent.Counters) {
	buf := make([]byte, 2048)
	if p, ok := p.(packetConn); ok {
		for {
			n, from, err := p.ReadFromAddrPort(buf)
			if err != nil {
				return
			}
			p.WriteToAddrPort(buf[:n], from)
			c.Requests.Add(1)
		}
	}
	for {
		n, from, err := p.ReadFrom(buf)
		if err != nil {
			return
		}
		p.WriteTo(buf[:n], from)
		c.Requests.Add(1)
	}
}

// serveHTTP is the server of net/http.
func serveHTTP(s subject.Stack, t agent.Task, c *agent.Counters) error {
	body := make([]byte, t.Body)
	server := &http.Server{Handler: http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.Write(body)
		c.Requests.Add(1)
		c.Bytes.Add(uint64(len(body)))
	})}
	port := uint16(agent.PortHTTP)
	if t.Work == HTTPS {
		port = agent.PortHTTPS
	}
	l, err := s.Listen(port)
	if err != nil {
		return err
	}
	if t.Work == HTTPS {
		certificate, err := selfsigned.Certificate(t.Server.Addr(), time.Now())
		if err != nil {
			return err
		}
		// HTTP/1.1, which is what wrk speaks.
		l = tls.NewListener(l, &tls.Config{Certificates: []tls.Certificate{certificate}, NextProtos: []string{"http/1.1"}})
	}
	go server.Serve(l)
	return nil
}
