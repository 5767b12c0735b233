package dnstest

import (
	"encoding/binary"
	"io"
	"net"

	"golang.org/x/net/dns/dnsmessage"
)

// A Query is what a server is asked.
type Query struct {
	Network string // "udp" or "tcp"
	From    net.Addr
	ID      uint16
	Name    string
	Type    dnsmessage.Type
	Message []byte
}

// A Server answers each query by any number of messages, none of which need be
// true, nor even a message.
type Server func(Query) [][]byte

// Respond is a Server that gives one response to each query.
func Respond(respond func(Query) Response) Server {
	return func(q Query) [][]byte { return [][]byte{must(respond(q).To(q.Message))} }
}

func must(p []byte, err error) []byte {
	if err != nil {
		panic(err)
	}
	return p
}

// To is the response as a message to q.
func (q Query) To(r Response) []byte { return must(r.To(q.Message)) }

// read is the query in msg; false when it is none.
func read(network string, from net.Addr, msg []byte) (Query, bool) {
	var m dnsmessage.Message
	if m.Unpack(msg) != nil || len(m.Questions) != 1 {
		return Query{}, false
	}
	return Query{network, from, m.ID, m.Questions[0].Name.String(), m.Questions[0].Type, msg}, true
}

// ServePacket answers the queries that come to c until it is closed.
func (s Server) ServePacket(c net.PacketConn) {
	p := make([]byte, 1<<16)
	for {
		n, from, err := c.ReadFrom(p)
		if err != nil {
			return
		}
		q, ok := read("udp", from, append([]byte(nil), p[:n]...))
		if !ok {
			continue
		}
		for _, reply := range s(q) {
			c.WriteTo(reply, from)
		}
	}
}

// Serve answers the queries that come by connections to l until it is closed.
func (s Server) Serve(l net.Listener) {
	for {
		c, err := l.Accept()
		if err != nil {
			return
		}
		go s.ServeConn(c)
	}
}

// ServeConn answers the queries of one connection.
func (s Server) ServeConn(c net.Conn) {
	defer c.Close()
	var length [2]byte
	for {
		if _, err := io.ReadFull(c, length[:]); err != nil {
			return
		}
		msg := make([]byte, binary.BigEndian.Uint16(length[:]))
		if _, err := io.ReadFull(c, msg); err != nil {
			return
		}
		q, ok := read("tcp", c.RemoteAddr(), msg)
		if !ok {
			return
		}
		for _, reply := range s(q) {
			if _, err := c.Write(append(binary.BigEndian.AppendUint16(nil, uint16(len(reply))), reply...)); err != nil {
				return
			}
		}
	}
}
