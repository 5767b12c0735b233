package sim

import (
	"io"
	"sync"
	"time"

	"github.com/seed-012105e5/gonet/link"
)

// Capture writes a pcap file of what passes the cards of a host to w, as Record
// does.
func (h *Host) Capture(w io.Writer) { h.Record(link.Pcap(w)) }

// Record has sink see what passes the cards of a host, until the network is
// closed: what the host sends as it leaves, before the wire does anything to
// it, and what arrives. It must be called before Start, and once at most.
func (h *Host) Record(sink link.Sink) {
	h.capture = &capture{sink: sink, name: h.Name, net: h.net}
	for _, s := range h.sides {
		s.link.Watch(s.ab, outward{h.capture})
		s.link.Watch(!s.ab, inward{h.capture})
	}
}

// A capture is a pcap file that the wires around a host write to. A frame that
// the host sends and one that it receives are never there at the same instant,
// but that the one is the answer to the other.
type capture struct {
	mu   sync.Mutex
	sink link.Sink
	name string
	net  *Net
}

func (c *capture) record(now time.Time, frame []byte, sent bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.sink == nil {
		return
	}
	if err := c.sink.Record(link.Record{Link: c.name, Sent: sent, Time: now, Frame: frame}); err != nil {
		c.sink = nil
		c.net.Fail(err)
	}
}

// end completes the file.
func (c *capture) end() {
	if c == nil {
		return
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.sink == nil {
		return
	}
	if err := c.sink.Flush(); err != nil {
		c.net.Fail(err)
	}
	c.sink = nil
}

type outward struct{ *capture }

func (c outward) Enters(now time.Time, frame []byte) { c.record(now, frame, true) }
func (outward) Arrives(time.Time, []byte)            {}

type inward struct{ *capture }

func (inward) Enters(time.Time, []byte)              {}
func (c inward) Arrives(now time.Time, frame []byte) { c.record(now, frame, false) }
