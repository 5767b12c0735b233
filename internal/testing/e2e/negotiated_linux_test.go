package e2e

import (
	"context"
	"io"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/seed-012105e5/gonet/internal/testing/netns"
	"github.com/seed-012105e5/gonet/link"
	"github.com/seed-012105e5/gonet/tcp"
)

// TestNegotiated has tshark find in captures that the stack and the kernel
// agree on each option of TCP that both have, whoever dials, and that they then
// use it.
func TestNegotiated(t *testing.T) {
	netns.Need(t)
	for _, weDial := range []bool{true, false} {
		name := "the kernel dials"
		if weDial {
			name = "we dial"
		}
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			h := newHost(t, cable{tcp: tcp.Config{ECN: tcp.ECNAsk}})
			must(t, h.ns.Sysctl("net.ipv4.tcp_ecn", "1"))
			must(t, h.ns.Sysctl("net.ipv4.tcp_fastopen", "3"))
			h.kernelAnswers(t)
			h.answers(t)
			for range 2 { // with the first one comes the cookie
				if weDial {
					h.ask(t)
				} else {
					must(t, h.ns.Do(func() error { return kernelFastOpen(t) }))
				}
			}
			h.Close()
			if weDial {
				h.capture.check(t, ours, kernel, handshake)
			} else {
				h.capture.check(t, kernel, ours, handshake)
			}
		})
		t.Run(name+" over a wire that loses", func(t *testing.T) {
			t.Parallel()
			h := newHost(t, cable{
				wire: link.Impairment{Loss: 0.02, Seed: 3, Delay: time.Millisecond},
				tcp:  tcp.Config{ECN: tcp.ECNAsk},
			})
			must(t, h.ns.Sysctl("net.ipv4.tcp_ecn", "1"))
			theirs, own := h.connect(t, weDial)
			exchange(t, theirs, own, 2_000_000)
			h.Close()
			h.capture.check(t, ours, kernel, underWay)
			h.capture.check(t, kernel, ours, underWay)
		})
	}
}

// A clue is a display filter for what at least one frame of a capture must be,
// or none may be. In it stands CLIENT for the address of who dials or, where
// that does not matter, of one side, and SERVER for the other.
type clue struct {
	name, filter string
	never        bool
}

const synACK = "tcp.flags.syn == 1 and tcp.flags.ack == 1 and ip.src == SERVER and "

const syn = "tcp.flags.syn == 1 and tcp.flags.ack == 0 and ip.src == CLIENT and "

// handshake is what two connections of that kind must show.
var handshake = []clue{
	{name: "RFC2018-2: SACK permitted", filter: syn + "tcp.options.sack_perm"},
	{name: "RFC2018-2: SACK permitted by the answer", filter: synACK + "tcp.options.sack_perm"},
	{name: "RFC7323-3.2: timestamp", filter: syn + "tcp.options.timestamp.tsval"},
	{name: "RFC7323-3.2: timestamp echoed", filter: synACK + "tcp.options.timestamp.tsecr > 0"},
	{name: "RFC7323-2.2: window scale", filter: syn + "tcp.options.wscale.shift > 0"},
	{name: "RFC7323-2.2: window scale of the answer", filter: synACK + "tcp.options.wscale.shift > 0"},
	{name: "RFC3168-6.1.1: ECN asked for", filter: syn + "tcp.flags.ece == 1 and tcp.flags.cwr == 1"},
	{name: "RFC3168-6.1.1: ECN granted", filter: synACK + "tcp.flags.ece == 1 and tcp.flags.cwr == 0"},
	{name: "RFC3168-6.1.1: a SYN that may be marked", filter: "tcp.flags.syn == 1 and ip.dsfield.ecn != 0", never: true},
	{name: "RFC7413-4.1.1: cookie asked for", filter: syn + "tcp.options.tfo.request"},
	{name: "RFC7413-4.1.1: cookie given", filter: synACK + "tcp.options.tfo.cookie"},
	{name: "RFC7413-4.2.2: text with the cookie", filter: syn + "tcp.options.tfo.cookie and tcp.len > 0"},
	{name: "RFC7413-4.2.2: text of the SYN acknowledged", filter: synACK + "tcp.ack > 1"},
}

// underWay is what each side must show when text has gone both ways.
var underWay = []clue{
	{name: "RFC7323-3.2: no timestamp", filter: "ip.src == CLIENT and tcp.flags.reset == 0 and not tcp.options.timestamp.tsval", never: true},
	{name: "RFC7323-2.3: a window beyond 64 KiB", filter: "ip.src == CLIENT and tcp.window_size > 65535"},
	{name: "RFC2018-4: selective acknowledgement", filter: "ip.src == CLIENT and tcp.options.sack_le"},
	{name: "RFC3168-6.1.2: text that may be marked", filter: "ip.src == CLIENT and tcp.len > 0 and ip.dsfield.ecn == 2"},
	{name: "RFC3168-6.1.4: an acknowledgement that may be marked", filter: "ip.src == CLIENT and tcp.len == 0 and ip.dsfield.ecn != 0", never: true},
	{name: "RFC3168-6.1.5: a retransmission that may be marked", filter: "ip.src == CLIENT and tcp.len > 0 and ip.dsfield.ecn != 0 and tcp.analysis.fast_retransmission", never: true},
}

// check has tshark count the frames of each clue: all in one run, which prints
// a table with a row of two columns a clue, frames and bytes.
func (c *capture) check(t *testing.T, client, server string, clues []clue) {
	t.Helper()
	table := "io,stat,0"
	fill := strings.NewReplacer("CLIENT", client, "SERVER", server)
	for _, clue := range clues {
		table += "," + fill.Replace(clue.filter)
	}
	out, err := command(t, time.Minute, "tshark", "-q", "-r", c.file.Name(), "-n", "-z", table).Output()
	must(t, err)
	_, row, _ := strings.Cut(string(out), "<>")
	columns := strings.Split(row, "|")
	for i, clue := range clues {
		if len(columns) < 2*i+3 {
			t.Fatalf("tshark says:\n%s", out)
		}
		frames, err := strconv.Atoi(strings.TrimSpace(columns[2*i+1]))
		must(t, err)
		if found := frames > 0; found == clue.never {
			t.Errorf("%s: %d frames, where %s dials or sends", clue.name, frames, client)
		}
	}
}

// ask asks the kernel by Fast Open.
func (h *host) ask(t *testing.T) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 5*time.Second)
	defer cancel()
	c, err := h.DialFastOpen(ctx, "tcp", kernel+":7", []byte(question))
	must(t, err)
	defer c.Close()
	must(t, c.SetDeadline(time.Now().Add(5*time.Second)))
	if got, err := io.ReadAll(c); string(got) != reply {
		t.Errorf("the kernel answers %q, %v", got, err)
	}
}

// answers has the stack listen, with Fast Open.
func (h *host) answers(t *testing.T) {
	t.Helper()
	l, err := h.Listen("tcp", ":7")
	must(t, err)
	t.Cleanup(func() { l.Close() })
	must(t, l.(*tcp.Listener).SetFastOpen(16))
	go answerAll(l)
}
