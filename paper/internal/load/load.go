// Package load is what the client of a measurement does: it is on the kernel's
// sockets, whatever the server is on.
package load

import (
	"context"
	"fmt"
	"net"
	"net/netip"
	"time"

	"github.com/seed-012105e5/gonet/paper/internal/agent"
	"github.com/seed-012105e5/gonet/paper/internal/subject"
)

// What a client can do.
const (
	Send       = "send"    // without end, on each stream
	Receive    = "receive" // without end, on each stream
	Request    = "request" // a byte there and back on each stream, again and again
	UDPRequest = "udp request"
	Connect    = "connect" // connections that are made, used for a request, and closed
	Hold       = "hold"    // connections that do nothing
)

// Start begins with the load of a task.
func Start(t agent.Task) (agent.Worker, error) {
	c := new(agent.Counters)
	l := &load{task: t, counters: c}
	if t.Work == Hold {
		return newHolder(l)
	}
	var err error
	switch t.Work {
	case Send:
		err = l.each("tcp4", agent.PortSink, l.send)
	case Receive:
		err = l.each("tcp4", agent.PortSource, l.receive)
	case Request:
		err = l.each("tcp4", agent.PortEcho, func(conn net.Conn) { l.request(conn, dialTime) })
	case UDPRequest:
		if err = l.awaitEcho(); err == nil {
			err = l.each("udp4", agent.PortEcho, func(conn net.Conn) { l.request(conn, datagramTime) })
		}
	case Connect:
		for range t.Streams {
			go l.connect()
		}
	default:
		err = fmt.Errorf("no load %q", t.Work)
	}
	return agent.Worker{Counters: c}, err
}

type load struct {
	task     agent.Task
	counters *agent.Counters
}

// dialTime is how long a handshake may take, and an answer over TCP;
// datagramTime is after what time a datagram counts as lost.
const (
	dialTime     = 5 * time.Second
	datagramTime = 250 * time.Millisecond
)

// dial opens a connection over one of the cables.
func (l *load) dial(network string, port uint16, cable int) (net.Conn, error) {
	ctx, cancel := context.WithTimeout(context.Background(), dialTime)
	defer cancel()
	var d net.Dialer
	d.SetMultipathTCP(false)
	if network == "tcp4" {
		d.Control = subject.Congestion(l.task.Congestion)
	}
	server := agent.Nth(l.task.Server, cable)
	return d.DialContext(ctx, network, netip.AddrPortFrom(server.Addr(), port).String())
}

// each opens a connection for each stream, over the cables in turn, and then has
// do use them.
func (l *load) each(network string, port uint16, do func(net.Conn)) error {
	var all []net.Conn
	for i := range l.task.Streams {
		conn, err := l.dial(network, port, i%max(l.task.Cables, 1))
		if err != nil {
			return err
		}
		all = append(all, conn)
	}
	for _, conn := range all {
		l.counters.Open.Add(1)
		go func() {
			do(conn)
			conn.Close()
			l.counters.Open.Add(-1)
		}()
	}
	return nil
}

// chunk is the size of reads and writes of bulk transfers, in bytes.
const chunk = 256 << 10

func (l *load) send(conn net.Conn) {
	for buf := make([]byte, chunk); ; {
		n, err := conn.Write(buf)
		l.counters.Bytes.Add(uint64(n))
		if err != nil {
			return
		}
	}
}

func (l *load) receive(conn net.Conn) {
	for buf := make([]byte, chunk); ; {
		n, err := conn.Read(buf)
		l.counters.Bytes.Add(uint64(n))
		if err != nil {
			return
		}
	}
}

// awaitEcho sends datagrams until one comes back: both ends have found each
// other's link-layer address then.
func (l *load) awaitEcho() error {
	conn, err := l.dial("udp4", agent.PortEcho, 0)
	if err != nil {
		return err
	}
	defer conn.Close()
	var buf [1]byte
	for start := time.Now(); time.Since(start) < dialTime; {
		conn.SetReadDeadline(time.Now().Add(datagramTime))
		if _, err = conn.Write(buf[:]); err != nil {
			return err
		}
		if _, err = conn.Read(buf[:]); err == nil {
			return nil
		}
	}
	return fmt.Errorf("no datagram comes back: %w", err)
}

// request sends a byte, and waits until it has come back, without end. What does
// not come back in time is lost, and its answer, should it still come, is not
// taken for that of the next.
func (l *load) request(conn net.Conn, limit time.Duration) {
	var buf [1]byte
	for serial := byte(0); ; serial++ {
		start := time.Now()
		conn.SetReadDeadline(start.Add(limit)) // fails when the read does, too
		buf[0] = serial
		if _, err := conn.Write(buf[:]); err != nil {
			return
		}
		err := l.answer(conn, buf[:], serial)
		if e, ok := err.(net.Error); ok && e.Timeout() {
			l.counters.Lost.Add(1)
			continue
		}
		if err != nil {
			return
		}
		l.counters.Latency.Record(time.Since(start))
		l.counters.Requests.Add(1)
	}
}

// answer reads until the answer with a serial number has come.
func (l *load) answer(conn net.Conn, buf []byte, serial byte) error {
	for {
		if _, err := conn.Read(buf); err != nil || buf[0] == serial {
			return err
		}
	}
}

// connect makes connections, uses each for one request, and closes it.
func (l *load) connect() {
	var buf [1]byte
	for {
		start := time.Now()
		conn, err := l.dial("tcp4", agent.PortEcho, 0)
		if err != nil {
			l.counters.Lost.Add(1)
			time.Sleep(time.Millisecond) // not to spin when nothing can be had
			continue
		}
		conn.SetDeadline(start.Add(dialTime))
		_, err = conn.Write(buf[:])
		if err == nil {
			_, err = conn.Read(buf[:])
		}
		conn.Close()
		if err != nil {
			l.counters.Lost.Add(1)
			continue
		}
		l.counters.Latency.Record(time.Since(start))
		l.counters.Requests.Add(1)
	}
}
