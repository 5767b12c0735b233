package vhostblk

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/seed-012105e5/gonet/internal/testing/guest"
	"github.com/seed-012105e5/gonet/internal/testing/need"
)

// TestGuestSpeed has fio in a guest use our back end and qemu-storage-daemon's, in
// turns, each with a file of its own in the same directory. It takes a minute or two,
// and says something on a machine that does nothing else: GONET_LONG=1.
func TestGuestSpeed(t *testing.T) {
	if os.Getenv("GONET_LONG") == "" {
		t.Skip("it measures: with GONET_LONG=1")
	}
	guest.Need(t)
	dir := t.TempDir()
	ours, theirs := filepath.Join(dir, "ours"), filepath.Join(dir, "theirs")
	for _, name := range []string{ours, theirs} {
		newDisk(t, name)
	}
	socket := filepath.Join(dir, "s")
	p := startProcess(t, socket, ours, filepath.Join(dir, "log"))
	c := guestConfig("speed", socket, "-chardev", "socket,id=other,path="+daemon(t, theirs, ",writable=on"), "-device", "vhost-user-blk-pci,chardev=other,num-queues=1")
	c.Programs = []string{need.Program(t, "fio")}
	g := guest.Start(t, c)
	for line := range g.Lines {
		t.Log(line)
	}
	if err := g.Wait(); err != nil {
		t.Error(err)
	}
	p.end()
}

// insideSpeed runs fio on both disks, three times each, and tells the best of each.
func insideSpeed(in *guest.Inside) error {
	for _, c := range []struct {
		rw, bs string
		depth  int
	}{{"randread", "4k", 1}, {"randread", "4k", 16}, {"randread", "4k", 64}, {"randwrite", "4k", 1}, {"randwrite", "4k", 16}, {"randwrite", "4k", 64}, {"read", "1m", 4}, {"write", "1m", 4}} {
		best := map[string]float64{}
		for range 3 {
			for _, dev := range []string{"vda", "vdb"} {
				out, err := in.Run("fio", "--name=x", "--filename=/dev/"+dev, "--size=32m", "--rw="+c.rw, "--bs="+c.bs, "--direct=1", "--ioengine=libaio",
					fmt.Sprintf("--iodepth=%d", c.depth), "--time_based", "--runtime=2", "--output-format=json")
				if err != nil {
					return err
				}
				var report struct {
					Jobs []struct {
						Read, Write struct{ IOPS float64 }
					}
				}
				if err := json.Unmarshal([]byte(out[strings.IndexByte(out, '{'):]), &report); err != nil || len(report.Jobs) != 1 {
					return fmt.Errorf("fio: %w: %s", err, out)
				}
				best[dev] = max(best[dev], report.Jobs[0].Read.IOPS+report.Jobs[0].Write.IOPS)
			}
		}
		in.Tell("%s %s depth %d: %.0f requests a second, qemu-storage-daemon %.0f, ratio %.2f", c.rw, c.bs, c.depth, best["vda"], best["vdb"], best["vda"]/best["vdb"])
	}
	return nil
}
