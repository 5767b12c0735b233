package e2e

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"testing"
	"time"

	"github.com/google/gopacket"
	"github.com/google/gopacket/layers"
	"github.com/google/gopacket/pcapgo"

	"github.com/seed-012105e5/gonet/internal/testing/netns"
	"github.com/seed-012105e5/gonet/ip"
	"github.com/seed-012105e5/gonet/link"
)

// TestOptions fetches a file from and with a kernel that does without some
// options of TCP, and reads the capture with gopacket: the stack must use all
// that the kernel offers, and none that it does not.
func TestOptions(t *testing.T) {
	netns.Need(t)
	for _, sysctl := range []string{"", "tcp_sack", "tcp_timestamps", "tcp_window_scaling"} {
		name := "all"
		if sysctl != "" {
			name = "without " + sysctl
		}
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			h := newHost(t, cable{wire: link.Impairment{Loss: 0.02, Seed: 3, Delay: time.Millisecond}})
			if sysctl != "" {
				must(t, h.ns.Sysctl("net.ipv4."+sysctl, "0"))
			}
			serveHTTP(t, h)
			const size = 1_000_000
			curlDownload(t, h, size)
			curlUpload(t, h, t.TempDir(), size)
			h.Close()
			testOptions(t, readTCP(t, h.capture.file.Name()), sysctl)
		})
	}
}

// testOptions checks the options of all segments, where the kernel has been
// told to do without one.
func testOptions(t *testing.T, segments []segment, without string) {
	t.Helper()
	ourSACKs, theirSACKs, wide := 0, 0, without == "tcp_window_scaling"
	for i, s := range segments {
		if s.SYN {
			for kind, missing := range map[layers.TCPOptionKind]bool{
				layers.TCPOptionKindMSS:           false,
				layers.TCPOptionKindSACKPermitted: without == "tcp_sack",
				layers.TCPOptionKindTimestamps:    without == "tcp_timestamps",
				layers.TCPOptionKindWindowScale:   without == "tcp_window_scaling",
			} {
				if has := s.option(kind) != nil; has == missing {
					t.Errorf("segment %d, %v: has option %v: %v", i, s, kind, has)
				}
			}
			continue
		}
		if has := s.option(layers.TCPOptionKindTimestamps) != nil; has == (without == "tcp_timestamps") && !s.RST {
			t.Errorf("segment %d, %v: has a timestamp: %v", i, s, has)
		}
		if sacks := s.option(layers.TCPOptionKindSACK); sacks != nil {
			if s.ours {
				ourSACKs++
				checkSACK(t, s, sacks.OptionData)
			} else {
				theirSACKs++
			}
		}
		if without == "tcp_window_scaling" || !s.ours || s.RST {
			continue
		}
		wide = wide || int(s.Window)<<7 >= 1<<16 // the shift for a buffer that grows up to 6 MiB
	}
	if !wide {
		t.Error("no window was larger than 64 KiB")
	}
	if got := ourSACKs > 0 && theirSACKs > 0; got == (without == "tcp_sack") {
		t.Errorf("%d selective acknowledgements of ours, %d of the kernel's", ourSACKs, theirSACKs)
	}
	t.Logf("%d segments, selective acknowledgements: %d of ours, %d of the kernel's", len(segments), ourSACKs, theirSACKs)
}

// checkSACK checks that blocks are not empty, and above the acknowledgement
// but for the first, which may tell of a duplicate (RFC 2018 section 3, RFC
// 2883 section 4).
func checkSACK(t *testing.T, s segment, blocks []byte) {
	t.Helper()
	for i := 0; i+8 <= len(blocks); i += 8 {
		left, right := binary.BigEndian.Uint32(blocks[i:]), binary.BigEndian.Uint32(blocks[i+4:])
		if int32(right-left) <= 0 || i > 0 && int32(left-s.Ack) <= 0 {
			t.Errorf("%v: block %d to %d", s, left, right)
		}
	}
}

// A segment is one of a capture.
type segment struct {
	layers.TCP
	ours bool
	ecn  ip.ECN
}

func (s segment) String() string {
	return fmt.Sprintf("%v to %v seq %d ack %d (ours: %v)", s.SrcPort, s.DstPort, s.Seq, s.Ack, s.ours)
}

// option is the option of a kind, or nil.
func (s *segment) option(kind layers.TCPOptionKind) *layers.TCPOption {
	for i := range s.Options {
		if s.Options[i].OptionType == kind {
			return &s.Options[i]
		}
	}
	return nil
}

// readTCP reads the segments of a capture.
func readTCP(t *testing.T, file string) (all []segment) {
	t.Helper()
	f, err := os.Open(file)
	must(t, err)
	defer f.Close()
	r, err := pcapgo.NewReader(f)
	must(t, err)
	for {
		frame, _, err := r.ReadPacketData()
		if errors.Is(err, io.EOF) {
			return all
		}
		must(t, err)
		p := gopacket.NewPacket(frame, layers.LayerTypeEthernet, gopacket.Default)
		if e := p.ErrorLayer(); e != nil {
			t.Errorf("gopacket: %v", e.Error())
		}
		network, _ := p.NetworkLayer().(*layers.IPv4)
		tcp, _ := p.TransportLayer().(*layers.TCP)
		if network != nil && tcp != nil {
			all = append(all, segment{*tcp, network.SrcIP.Equal(net.ParseIP(ours)), ip.ECN(network.TOS & ip.ECNMask)})
		}
	}
}
