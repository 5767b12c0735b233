package iscsi

import (
	"bytes"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/seed-012105e5/gonet"
	"github.com/seed-012105e5/gonet/internal/testing/guest"
	"github.com/seed-012105e5/gonet/internal/testing/need"
	"github.com/seed-012105e5/gonet/internal/testing/netns"
	links "github.com/seed-012105e5/gonet/link"
	"github.com/seed-012105e5/gonet/packet"
	"github.com/seed-012105e5/gonet/storage/block"
	"github.com/seed-012105e5/gonet/storage/block/filter"
	"github.com/seed-012105e5/gonet/storage/scsi"
	"github.com/seed-012105e5/gonet/vhost/vnet"
)

func TestMain(m *testing.M) {
	if os.Getpid() == 1 { // in a guest
		guest.Main(m, map[string]guest.Job{"open-iscsi": insideOpenISCSI, "node": insideNode, "boot": insideBoot})
	}
	netns.Main(m)
}

// Targets of TestGuestOpenISCSI, by how one logs in.
const (
	guestOneWay = testTarget + ":one" // CHAP one way
	guestMutual = testTarget + ":two" // and both ways, and with digests
)

const (
	guestFiles = 1 // the LUN of the file system
	guestLog   = 2 // and of what is written and flushed
	guestSize  = 96 << 20
)

// A cable joins the card of a guest to a stack. It can be pulled out.
type cable struct{ out atomic.Bool }

func (c *cable) join(wall links.Link) links.Link {
	rx, tx := make(chan *packet.Buffer, links.QueueLen), make(chan *packet.Buffer, links.QueueLen)
	go c.carry(wall.Rx, rx)
	go c.carry(tx, wall.Tx)
	wall.Rx, wall.Tx = rx, tx
	return wall
}

func (c *cable) carry(from <-chan *packet.Buffer, to chan<- *packet.Buffer) {
	defer close(to)
	for b := range from {
		if c.out.Load() {
			b.Release()
		} else {
			to <- b
		}
	}
}

// A guestTarget is what TestGuestOpenISCSI serves, over a stack of its own.
type guestTarget struct {
	t      *testing.T
	stack  *gonet.Stack
	file   string        // holds the file system: what was written survives the server
	stable *block.Memory // is behind the log: what was not flushed does not
	power  *filter.Volatile
	server *Server
	served chan error
	opened *block.File
}

// start serves what the last life has left.
func (g *guestTarget) start() {
	g.t.Helper()
	var err error
	if g.opened, err = block.OpenFile(g.file, block.FileConfig{}); err != nil {
		g.t.Fatal(err)
	}
	if g.power, err = filter.NewVolatile(g.stable); err != nil {
		g.t.Fatal(err)
	}
	g.server = &Server{ErrorLog: func(remote net.Addr, err error) { g.t.Logf("%v: %v", remote, err) }}
	one, two := Access{User: "joe", Secret: testSecretWord}, Access{User: "joe", Secret: testSecretWord, MutualUser: "mjoe", MutualSecret: "msecret12345"}
	for _, u := range []struct {
		target string
		access Access
		lun    int
		dev    block.Device
	}{
		{guestOneWay, one, 1, block.NewMemory(4 << 20)},
		{guestMutual, two, guestFiles, g.opened},
		{guestMutual, two, guestLog, g.power},
	} {
		disk, err := block.NewDisk(u.dev)
		if err != nil {
			g.t.Fatal(err)
		}
		unit, err := scsi.NewUnit(scsi.UnitConfig{Disk: disk, Serial: fmt.Sprint(u.target, u.lun)})
		if err != nil {
			g.t.Fatal(err)
		}
		units := g.units(u.target, u.access)
		if err := units.Add(u.lun, unit); err != nil {
			g.t.Fatal(err)
		}
	}
	l, err := g.stack.Listen("tcp", ":3260")
	if err != nil {
		g.t.Fatal(err)
	}
	server, served := g.server, make(chan error, 1)
	g.served = served
	go func() { served <- server.Serve(l) }()
}

// units are those of a target, which is added if it is not there.
func (g *guestTarget) units(name string, a Access) *scsi.Target {
	if t := g.server.targets[name]; t != nil {
		return t.Units
	}
	units, err := g.server.Add(Target{Name: name, Access: []Access{a}})
	if err != nil {
		g.t.Fatal(err)
	}
	return units
}

// stop cuts all sessions off, and then the power of the log's disk.
func (g *guestTarget) stop() {
	if g.server == nil {
		return
	}
	g.server.Close()
	<-g.served
	g.server = nil
	g.t.Logf("of %d pieces of writes the power cut takes some", g.power.Pending())
	if err := errors.Join(g.power.Cut(1), g.opened.Close()); err != nil {
		g.t.Error(err)
	}
}

// TestGuestOpenISCSI has Linux, with open-iscsi, use a target that is reached over a
// stack of GoNet's: it finds it, logs in with CHAP and digests, and has a file system
// and fio on it while the cable is out for a while, and while the target is away. No
// error reaches the file system, and what was flushed is there.
func TestGuestOpenISCSI(t *testing.T) {
	guest.Need(t)
	var programs []string
	for _, p := range []string{"iscsid", "iscsiadm", "mkfs.ext4", "e2fsck", "fstrim", "fio"} {
		programs = append(programs, need.Program(t, p))
	}
	need.Programs(t, "debugfs")
	dir := t.TempDir()
	path := filepath.Join(dir, "net.sock")
	card, err := vnet.Listen(path, vnet.Config{})
	if err != nil {
		t.Fatal(err)
	}
	var wire cable
	stack, err := gonet.New(gonet.Config{Link: wire.join(card), Addr: netip.MustParsePrefix("10.0.0.1/24")})
	if err != nil {
		t.Fatal(err)
	}
	defer stack.Close()
	target := &guestTarget{t: t, stack: stack, file: filepath.Join(dir, "files"), stable: block.NewMemory(guestSize)}
	if err := os.WriteFile(target.file, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Truncate(target.file, guestSize); err != nil {
		t.Fatal(err)
	}
	target.start()
	defer target.stop()

	began := time.Now()
	g := guest.Start(t, guest.Config{
		Job: "open-iscsi", Memory: 1024,
		Modules:  []string{"virtio_net", "iscsi_tcp", "sd_mod", "crc32c_generic", "ext4"},
		Programs: programs,
		QEMU: []string{
			"-object", "memory-backend-memfd,id=mem,size=1024M,share=on", "-machine", "memory-backend=mem",
			"-chardev", "socket,id=net,path=" + path, "-netdev", "vhost-user,id=net,chardev=net",
			// With vectors QEMU 7.2 without KVM crashes as soon as the driver starts.
			"-device", "virtio-net-pci,netdev=net,vectors=0",
		},
	})
	var flushed []int
	for line := range g.Lines {
		t.Logf("%6.1f s: %s", time.Since(began).Seconds(), line)
		command, ok := strings.CutPrefix(line, "host: ")
		if !ok {
			if n := 0; scan(line, "flushed group %d", &n) {
				flushed = append(flushed, n)
			}
			continue
		}
		switch command {
		case "pull the cable out":
			wire.out.Store(true)
		case "put the cable in":
			wire.out.Store(false)
		case "stop the target":
			target.stop()
		case "start the target":
			target.start()
		default:
			t.Errorf("what is %q?", command)
		}
		g.Say("done")
	}
	if err := g.Wait(); err != nil {
		t.Fatalf("%v\n%s", err, g.Console())
	}
	if log := g.Console(); strings.Contains(log, "I/O error") || strings.Contains(log, "EXT4-fs error") || strings.Contains(log, "EXT4-fs warning") {
		t.Errorf("the kernel has seen errors:\n%s", log)
	}
	stats := target.server.Stats()
	if n := stats["DataDigestErrors"] + stats["HeaderDigestErrors"] + stats["ProtocolErrors"]; n > 0 {
		t.Errorf("%v", stats)
	}
	target.stop()
	if len(flushed) < 10 {
		t.Errorf("%d groups were flushed", len(flushed))
	}
	for _, n := range flushed {
		got := make([]byte, logGroup)
		if _, err := target.stable.ReadAt(got, int64(n)*logGroup); err != nil || !bytes.Equal(got, logContents(n)) {
			t.Errorf("group %d was flushed and holds other bytes (%v)", n, err)
		}
	}
	if out, err := exec.Command(need.Program(t, "e2fsck"), "-fn", target.file).CombinedOutput(); err != nil {
		t.Errorf("e2fsck: %v\n%s", err, out)
	}
	checkKept(t, target.file, guestKept)
}

// checkKept looks for files in an image of a file system.
func checkKept(t *testing.T, image string, names []string) {
	t.Helper()
	debugfs, dir := need.Program(t, "debugfs"), t.TempDir()
	for _, name := range names {
		copied := filepath.Join(dir, name)
		out, err := exec.Command(debugfs, "-R", "dump "+name+" "+copied, image).CombinedOutput()
		got, _ := os.ReadFile(copied)
		if err != nil || !bytes.Equal(got, keptContents(name)) {
			t.Errorf("%s holds other bytes than were written: %v %s", name, err, out)
		}
	}
}

// scan is Sscanf that must read all.
func scan(text, format string, args ...any) bool {
	n, err := fmt.Sscanf(text, format, args...)
	return err == nil && n == len(args)
}
