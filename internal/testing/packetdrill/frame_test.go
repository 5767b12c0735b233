package packetdrill

import (
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/seed-012105e5/gonet/packet"
)

// fromStack makes a frame as the stack sends it: as a peer would on the other
// side of the cable.
func fromStack(c *card, g segment, text string) *packet.Buffer {
	other := hosts{ourMAC: c.peerMAC, peerMAC: c.ourMAC, our: c.peer, peer: c.our}
	g.len = len(text)
	return other.frame(&g, 8080, 40001, []byte(text))
}

// takeFrame shows a frame to a card, and returns what it saw, if anything.
func takeFrame(t *testing.T, cut bool, change func(c *card) *packet.Buffer) (seen []*wire) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		c := newCard(&config{mtu: 1500, cut: cut, local: ourAddr, remote: peerAddr})
		c.tx <- change(c)
		close(c.tx)
		for w := range c.seen {
			seen = append(seen, w)
		}
	})
	return seen
}

func TestFrames(t *testing.T) {
	g := segment{
		flags: psh | ack | ece, seq: 5, ack: 6, window: said{7, true}, urgent: 8,
		ip:      network{ecn: said{3, true}, ttl: said{9, true}, df: said{1, true}},
		options: []option{{kind: optNop}, {kind: optNop}, {kind: optTimestamp, a: 1, b: 2}, {kind: optSACK, blocks: []block{{3, 4}}}, {kind: optNop}, {kind: optNop}},
	}
	seen := takeFrame(t, false, func(c *card) *packet.Buffer { return fromStack(c, g, "text") })
	if len(seen) != 1 {
		t.Fatalf("%d frames were seen", len(seen))
	}
	w := seen[0]
	g.len = 4
	if d := g.differs(&w.segment); d != "" || w.err != nil || string(w.text) != "text" || w.local != 8080 || w.remote != 40001 {
		t.Errorf("%v, error %v, is read as %v: %s", &g, w.err, &w.segment, d)
	}
}

// TestBadFrames has frames that no stack should send, and what is said of them.
func TestBadFrames(t *testing.T) {
	for name, test := range map[string]struct {
		change func(c *card) *packet.Buffer
		want   error
	}{
		"Checksum": {func(c *card) *packet.Buffer {
			b := fromStack(c, segment{flags: ack}, "text")
			b.Bytes()[b.Len()-1]++
			return b
		}, errSum},
		"HeaderChecksum": {func(c *card) *packet.Buffer {
			b := fromStack(c, segment{flags: ack}, "text")
			b.Bytes()[ethLen+8]++
			return b
		}, errSum},
		"Truncated": {func(c *card) *packet.Buffer {
			b := fromStack(c, segment{flags: ack}, "text")
			b.Trim(b.Len() - 1)
			return b
		}, errMalformed},
		"Offset": {func(c *card) *packet.Buffer {
			return fromStack(c, segment{flags: ack, ip: network{offset: said{15, true}}}, "")
		}, errMalformed},
		"Addresses": {func(c *card) *packet.Buffer {
			return c.frame(&segment{flags: ack}, 1, 2, nil)
		}, errMalformed},
		"NotTCP": {func(c *card) *packet.Buffer {
			b := fromStack(c, segment{flags: ack}, "text")
			b.Bytes()[ethLen+9] = 17
			return b
		}, errNotTCP},
		"TooLong": {func(c *card) *packet.Buffer {
			return fromStack(c, segment{flags: ack}, strings.Repeat("x", 1461))
		}, tooLong(1501, 1500)},
		"TrainTooLong": {func(c *card) *packet.Buffer {
			b := fromStack(c, segment{flags: ack}, strings.Repeat("x", 4000))
			b.SegmentSize = 1500
			return b
		}, tooLong(1540, 1500)},
	} {
		t.Run(name, func(t *testing.T) {
			seen := takeFrame(t, false, test.change)
			if len(seen) != 1 || seen[0].err == nil || seen[0].err.Error() != test.want.Error() {
				t.Errorf("%d frames were seen: %v", len(seen), seen)
			}
		})
	}
}

// TestRecognize has segments that are well-formed, and yet wrong.
func TestRecognize(t *testing.T) {
	words := make([]byte, 20)
	for i := range words {
		words[i] = ourByte(i)
	}
	made := func(change func(w *wire)) *wire {
		w := &wire{segment: segment{flags: psh | ack, seq: 1001, ack: peerISN + 1, len: len(words)}, local: 8080, remote: 40001, text: words, at: time.Now(), longest: 20}
		change(w)
		return w
	}
	for name, test := range map[string]struct {
		change func(w *wire)
		want   string
	}{
		"Good":        {func(w *wire) {}, ""},
		"Text":        {func(w *wire) { w.seq++ }, "its text is not what the user has written"},
		"MSS":         {func(w *wire) { w.longest = 101 }, "text and options of 101 bytes are more than the MSS of 100"},
		"NoFlow":      {func(w *wire) { w.remote = 77 }, "a packet from port 8080 to port 77, which belong to no connection"},
		"Broken":      {func(w *wire) { w.err = errSum }, errSum.Error()},
		"NotAnActive": {func(w *wire) { w.local, w.remote, w.flags = 50000, 8080, syn|ack }, "which belong to no connection"},
	} {
		t.Run(name, func(t *testing.T) {
			r := &run{cfg: config{connectPort: 8080, bindPort: 8080}}
			f := r.flow(&network{})
			f.mss, f.ours.known, f.ours.isn, f.ours.text = 100, true, 1000, 1001
			_, err := r.recognize(made(test.change), segment{})
			if test.want == "" && err != nil || test.want != "" && (err == nil || !strings.Contains(err.Error(), test.want)) {
				t.Errorf("error %v, want %q", err, test.want)
			}
		})
	}
}
