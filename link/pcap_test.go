package link

import (
	"bytes"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/gopacket/pcapgo"

	"github.com/seed-012105e5/gonet/packet"
)

// recording is the pcap file of a few frames of each kind.
func recording(t *testing.T) []byte {
	var file bytes.Buffer
	bubble(t, func(t *testing.T) {
		a, b := Pipe(PipeConfig{})
		a = Tee(a, func(err error) { t.Error(err) }, Pcap(&file))
		for i := range 3 {
			time.Sleep(time.Second + 1)
			a.Tx <- train(t, packetMax-i, 1448)
			partial := packet.From(tcpFrame(t, uint32(i), 100))
			makePartial(partial)
			b.Tx <- partial
		}
		time.Sleep(time.Second)
		close(a.Tx)
		drain(a.Rx)
		drain(b.Rx)
		close(b.Tx)
	})
	return file.Bytes()
}

func TestPcap(t *testing.T) {
	file, err := pcapgo.NewReader(bytes.NewReader(recording(t)))
	if err != nil {
		t.Fatal(err)
	}
	start := time.Date(2000, 1, 1, 0, 0, 0, 0, time.UTC) // of a bubble
	trains := 0
	for i := range 6 {
		frame, info, err := file.ReadPacketData()
		if err != nil {
			t.Fatal(err)
		}
		valid(t, frame)
		if len(frame) > 1514 {
			trains++
		}
		n := time.Duration(i/2 + 1)
		if want := start.Add(n*time.Second + n); !info.Timestamp.Equal(want) {
			t.Errorf("frame %d at %v, want %v", i, info.Timestamp, want)
		}
	}
	if trains != 3 {
		t.Errorf("%d trains", trains)
	}
}

// TestPcapTshark asks tshark, where there is one, for checksums it thinks bad.
func TestPcapTshark(t *testing.T) {
	if _, err := exec.LookPath("tshark"); err != nil {
		t.Skip(err)
	}
	name := filepath.Join(t.TempDir(), "a.pcap")
	if err := os.WriteFile(name, recording(t), 0o600); err != nil {
		t.Fatal(err)
	}
	out, err := exec.Command("tshark", "-r", name, "-o", "ip.check_checksum:TRUE", "-o", "tcp.check_checksum:TRUE",
		"-T", "fields", "-e", "ip.checksum.status", "-e", "tcp.checksum.status", "-e", "ip.len", "-e", "tcp.len").Output()
	if err != nil {
		t.Fatal(err)
	}
	lines := strings.Split(strings.TrimSpace(string(out)), "\n")
	for _, line := range lines {
		if !strings.HasPrefix(line, "1\t1\t") && !strings.HasPrefix(line, "Good\tGood\t") {
			t.Errorf("tshark says %q", line)
		}
	}
	if len(lines) != 6 {
		t.Errorf("tshark sees %d frames", len(lines))
	}
}

type broken struct{}

var errBroken = errors.New("the disk is full")

func (broken) Write([]byte) (int, error) { return 0, errBroken }

// TestPcapFails shows that the error of a buffered write comes out at last.
func TestPcapFails(t *testing.T) {
	p := Pcap(broken{})
	if err := p.Record(Record{Frame: tcpFrame(t, 1, 100)}); err != nil {
		t.Errorf("an error before anything was written: %v", err)
	}
	if err := p.Flush(); !errors.Is(err, errBroken) {
		t.Errorf("Flush: %v", err)
	}
	if err := Text(broken{}).Record(Record{}); !errors.Is(err, errBroken) {
		t.Errorf("Text: %v", err)
	}
}

func TestPcapEmpty(t *testing.T) {
	var file bytes.Buffer
	if err := Pcap(&file).Flush(); err != nil {
		t.Fatal(err)
	}
	if _, err := pcapgo.NewReader(&file); err != nil {
		t.Errorf("a file without frames: %v", err)
	}
}
