package setup

import (
	"bytes"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/gopacket/pcapgo"

	"github.com/seed-012105e5/gonet/link"
	"github.com/seed-012105e5/gonet/packet"
)

// newPair is a pair as the flags in args describe it, and what it has printed.
func newPair(t *testing.T, args string, sinks ...link.Sink) (*Pair, *bytes.Buffer, error) {
	t.Helper()
	out := new(bytes.Buffer)
	flags := New("program", "", "", out)
	if err := flags.Parse(strings.Fields(args)); err != nil {
		t.Fatal(err)
	}
	p, err := flags.Pair(sinks...)
	return p, out, err
}

// TestPair shows that the flags do to packets what they say.
func TestPair(t *testing.T) {
	file := filepath.Join(t.TempDir(), "pair.pcap")
	synctest.Test(t, func(t *testing.T) {
		var text bytes.Buffer
		p, out, err := newPair(t, "-stats -delay 20ms -reorder 0.001 -loss 0.001 -rate 1G -pcap "+file, link.Text(&text))
		if err != nil {
			t.Fatal(err)
		}
		_, err = p.A.Ping(t.Context(), AddrB.Addr()) // waits for ARP too
		if err != nil {
			t.Fatal(err)
		}
		rtt, err := p.A.Ping(t.Context(), AddrB.Addr())
		if err != nil || rtt < 40*time.Millisecond || rtt > 41*time.Millisecond {
			t.Errorf("rtt %v, %v", rtt, err)
		}
		ran := false
		p.B.Go(func() { ran = true })
		if err := p.Close(); err != nil || !ran {
			t.Errorf("close: %v; ran: %v", err, ran)
		}
		for _, want := range []string{"1 Gbit/s, 20ms late, 0.1% lost, 0.1% held back", file, "icmp.RxReplies                   2", "icmp.RxEchoes                    2"} {
			if !strings.Contains(out.String(), want) {
				t.Errorf("no %q in\n%s", want, out)
			}
		}
		if !strings.Contains(text.String(), "ICMP echo request") {
			t.Errorf("recorded:\n%s", text.String())
		}
	})
	if n := countPackets(t, file); n < 6 {
		t.Errorf("%d packets are in the file, want at least 6 of ARP and ICMP", n)
	}
}

func countPackets(t *testing.T, name string) (n int) {
	t.Helper()
	file, err := os.Open(name)
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	r, err := pcapgo.NewReader(file)
	if err != nil {
		t.Fatal(err)
	}
	for {
		if _, _, err := r.ReadPacketData(); err != nil {
			return n
		}
		n++
	}
}

func TestPairWithoutFile(t *testing.T) {
	before := packet.Live()
	synctest.Test(t, func(t *testing.T) {
		if _, _, err := newPair(t, "-pcap /nowhere/to/be/found"); err == nil || !strings.Contains(err.Error(), "-pcap") {
			t.Errorf("error %v", err)
		}
	})
	if left := packet.Live() - before; left != 0 {
		t.Errorf("%d packets are left", left)
	}
}
