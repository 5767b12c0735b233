package main

import (
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"time"

	"github.com/seed-012105e5/gonet/storage/block"
	"github.com/seed-012105e5/gonet/storage/iscsi"
	"github.com/seed-012105e5/gonet/storage/scsi"
)

const iscsiName = "iqn.2026-01.org.example:bench"

func (b *bench) overISCSI() protocol {
	return protocol{
		servers: b.iscsiLoopback,
		self:    b.iscsiSelf,
		cells:   b.iscsiCells,
		uri:     func(address string) string { return "iscsi://" + address + "/" + iscsiName + "/1" },
		ready:   func(uri string) []string { return []string{"iscsi-inq", uri} },
		fill: func(uri string) []string {
			return []string{"qemu-img", "bench", "-f", "raw", "-t", "none", "-w", "--pattern=1", "-d", "4", "-s", "1M", "-c", fmt.Sprint(b.size >> 20), uri}
		},
	}
}

// iscsiCells are requests at random from iscsi-perf, and requests one behind the other
// from qemu-img.
func (b *bench) iscsiCells() (all []cell) {
	for _, depth := range []int{1, 16, 64} {
		all = append(all, cell{fmt.Sprintf("randread 4k, depth %d", depth), "kIOPS", func(uri string) (int64, float64, error) {
			return b.iscsiPerf(uri, depth)
		}})
	}
	for _, f := range []struct {
		name, unit string
		args       []string
		size       int64
		counts     [3]int // requests a second that keep it busy at depth 1, 16 and 64
	}{
		{"write 4k", "kIOPS", []string{"-w", "-s", "4k"}, 4 << 10, [3]int{8000, 25000, 25000}},
		{"read 1M", "MB/s", []string{"-s", "1M"}, 1 << 20, [3]int{1000, 1000, 1000}},
		{"write 1M", "MB/s", []string{"-w", "-s", "1M"}, 1 << 20, [3]int{1000, 1000, 1000}},
	} {
		for i, depth := range []int{1, 16, 64} {
			all = append(all, cell{fmt.Sprintf("%s, depth %d", f.name, depth), f.unit, func(uri string) (int64, float64, error) {
				count := f.counts[i] * b.seconds
				took, err := b.qemuBench(uri, depth, count, f.args)
				speed := float64(count) / 1000 / took
				if f.unit == "MB/s" {
					speed *= float64(f.size) / 1000
				}
				return int64(count) * f.size, speed, err
			}})
		}
	}
	return all
}

// iscsiPerf reads 4 KB at random for so long.
func (b *bench) iscsiPerf(uri string, depth int) (size int64, speed float64, err error) {
	out, err := b.output("iscsi-perf", "-m", fmt.Sprint(depth), "-b", "8", "-t", fmt.Sprint(b.seconds), "-r", uri)
	if err != nil {
		return 0, 0, err
	}
	// It tells of the time until now again and again.
	said := string(out)
	at := strings.LastIndex(said, "iops average ")
	var requests float64
	if at < 0 {
		return 0, 0, fmt.Errorf("iscsi-perf says nothing that is understood: %s", said)
	}
	if _, err := fmt.Sscanf(said[at:], "iops average %f", &requests); err != nil {
		return 0, 0, fmt.Errorf("iscsi-perf: %w: %s", err, said)
	}
	return int64(requests * float64(b.seconds) * 4096), requests / 1000, nil
}

// qemuBench does count requests, and returns how many seconds they took.
func (b *bench) qemuBench(uri string, depth, count int, args []string) (took float64, err error) {
	args = append([]string{"bench", "-f", "raw", "-t", "none", "-d", fmt.Sprint(depth), "-c", fmt.Sprint(count)}, args...)
	out, err := b.output("qemu-img", append(args, uri)...)
	if err != nil {
		return 0, err
	}
	_, rest, ok := strings.Cut(string(out), "Run completed in ")
	if _, err := fmt.Sscan(rest, &took); !ok || err != nil {
		return 0, fmt.Errorf("qemu-img bench says nothing that is understood: %s", out)
	}
	return took, nil
}

// iscsiSelf is the command of a target of ours.
func (b *bench) iscsiSelf(device string, more ...string) command {
	return b.self(device, append(more, "-iscsi")...)
}

// iscsiLoopback are the targets that are compared on loopback.
func (b *bench) iscsiLoopback() []kind {
	return []kind{
		b.tgt(),
		{name: "file", command: b.iscsiSelf("file")},
		{name: "memory", command: b.iscsiSelf("memory")},
		{name: "null", command: b.iscsiSelf("null")},
	}
}

// tgt is the reference, with a file. It needs root.
func (b *bench) tgt() kind {
	control := fmt.Sprint(1 + os.Getpid()%30000)
	var file string
	return kind{
		name: "tgt file",
		command: func(address string) (*exec.Cmd, error) {
			file = filepath.Join(b.dir, "tgt")
			if err := errors.Join(makeFile(file, b.size), os.MkdirAll("/run/tgtd", 0o755)); err != nil {
				return nil, err
			}
			return exec.Command("tgtd", "-f", "-C", control, "--iscsi", "portal="+address), nil
		},
		prepare: func() error { return configureTgt(control, file) },
		end: func() {
			os.Remove("/run/tgtd/socket." + control)
			os.Remove("/run/tgtd/socket." + control + ".lock")
		},
	}
}

// configureTgt waits for tgtd, and tells it of its target.
func configureTgt(control, file string) error {
	admin := func(args string) error {
		out, err := exec.Command("tgtadm", append([]string{"-C", control, "--lld", "iscsi"}, strings.Fields(args)...)...).CombinedOutput()
		if err != nil {
			return fmt.Errorf("tgtadm %s: %w: %s", args, err, out)
		}
		return nil
	}
	var err error
	for range 100 {
		if err = admin("--op show --mode sys"); err == nil {
			break
		}
		time.Sleep(50 * time.Millisecond)
	}
	for _, command := range []string{
		"--op new --mode target --tid 1 -T " + iscsiName,
		"--op new --mode logicalunit --tid 1 --lun 1 --backing-store " + file,
		"--op bind --mode target --tid 1 -I ALL",
	} {
		if err == nil {
			err = admin(command)
		}
	}
	return err
}

// serveISCSI serves the device as LUN 1 of the one target.
func serveISCSI(l net.Listener, device block.Device, ended <-chan os.Signal) error {
	disk, err := block.NewDisk(device)
	if err != nil {
		return err
	}
	unit, err := scsi.NewUnit(scsi.UnitConfig{Disk: disk})
	if err != nil {
		return err
	}
	var s iscsi.Server
	units, err := s.Add(iscsi.Target{Name: iscsiName})
	if err != nil {
		return err
	}
	if err := units.Add(1, unit); err != nil {
		return err
	}
	go func() {
		<-ended
		s.Close()
	}()
	return s.Serve(l)
}
