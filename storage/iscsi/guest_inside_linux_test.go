package iscsi

import (
	"bytes"
	"errors"
	"fmt"
	"math/rand/v2"
	"net"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync/atomic"
	"time"

	"golang.org/x/sys/unix"

	"github.com/seed-012105e5/gonet/internal/netlink"
	"github.com/seed-012105e5/gonet/internal/testing/guest"
)

// insideOpenISCSI is what TestGuestOpenISCSI does in the guest.
func insideOpenISCSI(in *guest.Inside) error {
	if err := insideCard("eth0", "10.0.0.2/24"); err != nil {
		return err
	}
	o, err := startOpenISCSI(in, "10.0.0.1:3260", testInitiator)
	if err != nil {
		return err
	}
	for _, step := range []struct {
		name string
		f    func() error
	}{
		{"discovery", o.discovers},
		{"CHAP", o.oneWay},
		{"CHAP both ways, and digests", o.bothWays},
		{"file system", o.fileSystem},
		{"faults", o.faults},
		{"logout", func() error { return o.logout(guestMutual) }},
	} {
		in.Tell("%s", step.name)
		if err := step.f(); err != nil {
			log, _ := os.ReadFile(iscsidLog)
			return fmt.Errorf("%s: %w\niscsid says:\n%s", step.name, err, log)
		}
	}
	return nil
}

// insideCard gives a network card its address.
func insideCard(name, address string) error {
	c, err := netlink.Dial()
	if err != nil {
		return err
	}
	defer c.Close()
	card, err := net.InterfaceByName(name)
	if err != nil {
		return err
	}
	return errors.Join(c.SetUp(card.Index), c.AddAddr(card.Index, netip.MustParsePrefix(address)))
}

// An openISCSI is Linux's initiator.
type openISCSI struct {
	in     *guest.Inside
	portal string
}

const iscsidLog = "/tmp/iscsid.log"

// startOpenISCSI starts iscsid.
func startOpenISCSI(in *guest.Inside, portal, initiator string) (*openISCSI, error) {
	for name, text := range map[string]string{
		"/etc/passwd":                    "root:x:0:0:root:/:/bin/sh\n",
		"/etc/group":                     "root:x:0:\n",
		"/etc/iscsi/iscsid.conf":         "node.startup = manual\n",
		"/etc/iscsi/initiatorname.iscsi": "InitiatorName=" + initiator + "\n",
	} {
		if err := errors.Join(os.MkdirAll(filepath.Dir(name), 0o755), os.WriteFile(name, []byte(text), 0o600)); err != nil {
			return nil, err
		}
	}
	for _, dir := range []string{"/run/lock/iscsi", "/var/lib/iscsi", "/var/lock"} {
		if err := os.MkdirAll(dir, 0o755); err != nil {
			return nil, err
		}
	}
	log, err := os.Create(iscsidLog)
	if err != nil {
		return nil, err
	}
	cmd := exec.Command("iscsid", "-f")
	cmd.Stdout, cmd.Stderr = log, log
	if err := cmd.Start(); err != nil {
		return nil, err
	}
	// It takes commands at a socket of this name (iscsid.c).
	err = in.Await(time.Minute, func() bool {
		sockets, _ := os.ReadFile("/proc/net/unix")
		return bytes.Contains(sockets, []byte("ISCSIADM_ABSTRACT_NAMESPACE"))
	})
	if err != nil {
		text, _ := os.ReadFile(iscsidLog)
		return nil, fmt.Errorf("iscsid: %w: %s", err, text)
	}
	return &openISCSI{in, portal}, nil
}

func (o *openISCSI) admin(args ...string) (string, error) { return o.in.Run("iscsiadm", args...) }

func (o *openISCSI) node(target string, args ...string) (string, error) {
	return o.admin(append([]string{"-m", "node", "-T", target, "-p", o.portal}, args...)...)
}

// set changes the settings of a target: names and values.
func (o *openISCSI) set(target string, pairs ...string) error {
	for i := 0; i < len(pairs); i += 2 {
		if _, err := o.node(target, "-o", "update", "-n", "node."+pairs[i], "-v", pairs[i+1]); err != nil {
			return err
		}
	}
	return nil
}

func (o *openISCSI) login(target string) error {
	_, err := o.node(target, "--login")
	return err
}

func (o *openISCSI) logout(target string) error {
	if _, err := o.node(target, "--logout"); err != nil {
		return err
	}
	return o.in.Await(time.Minute, func() bool { return diskOf(1) == "" })
}

// diskOf is the device file of a LUN, if the guest has it: there is one session at a time.
func diskOf(lun int) string {
	all, _ := filepath.Glob("/sys/block/sd*")
	for _, dir := range all {
		to, _ := os.Readlink(filepath.Join(dir, "device"))
		if strings.HasSuffix(to, fmt.Sprintf(":%d", lun)) {
			return "/dev/" + filepath.Base(dir)
		}
	}
	return ""
}

// disk waits until the guest has a LUN.
func (o *openISCSI) disk(lun int) (name string, err error) {
	err = o.in.Await(time.Minute, func() bool {
		if name = diskOf(lun); name == "" {
			return false
		}
		_, err := os.Stat(name)
		return err == nil
	})
	if err != nil {
		err = fmt.Errorf("there is no LUN %d: %w", lun, err)
	}
	return name, err
}

func (o *openISCSI) discovers() error {
	out, err := o.admin("-m", "discovery", "-t", "sendtargets", "-p", o.portal)
	if err != nil {
		return err
	}
	for _, name := range []string{guestOneWay, guestMutual} {
		if !strings.Contains(out, o.portal+",1 "+name) {
			return fmt.Errorf("%s was not discovered: %q", name, out)
		}
	}
	return nil
}

// oneWay logs in with CHAP, after it could not without it nor with a wrong secret.
func (o *openISCSI) oneWay() error {
	refused := func(what string) error {
		// Status 24 of iscsiadm is that the target has refused the authentication.
		var status *exec.ExitError
		if err := o.login(guestOneWay); !errors.As(err, &status) || status.ExitCode() != 24 {
			return fmt.Errorf("login %s: %w", what, err)
		}
		return nil
	}
	if err := refused("without CHAP"); err != nil {
		return err
	}
	if err := o.set(guestOneWay, "session.auth.authmethod", "CHAP", "session.auth.username", "joe", "session.auth.password", "another secret"); err != nil {
		return err
	}
	if err := refused("with another secret"); err != nil {
		return err
	}
	if err := o.set(guestOneWay, "session.auth.password", testSecretWord); err != nil {
		return err
	}
	if err := o.login(guestOneWay); err != nil {
		return err
	}
	if _, err := o.disk(1); err != nil {
		return err
	}
	return o.logout(guestOneWay)
}

// bothWays logs in, after it could not where the target has not proved itself.
func (o *openISCSI) bothWays() error {
	if err := o.set(guestMutual,
		"session.auth.authmethod", "CHAP", "session.auth.username", "joe", "session.auth.password", testSecretWord,
		"session.auth.username_in", "mjoe", "session.auth.password_in", "another secret",
		"conn[0].iscsi.HeaderDigest", "CRC32C", "conn[0].iscsi.DataDigest", "CRC32C",
		// It finds soon that the target is away, and tries often.
		"conn[0].timeo.noop_out_interval", "2", "conn[0].timeo.noop_out_timeout", "2", "conn[0].timeo.login_timeout", "5",
	); err != nil {
		return err
	}
	if err := o.login(guestMutual); err == nil {
		return errors.New("logged in to a target that has not proved itself")
	}
	if err := o.set(guestMutual, "session.auth.password_in", "msecret12345"); err != nil {
		return err
	}
	if err := o.login(guestMutual); err != nil {
		return err
	}
	out, err := o.admin("-m", "session", "-P", "2")
	if err != nil {
		return err
	}
	for _, want := range []string{"HeaderDigest: CRC32C", "DataDigest: CRC32C", "username_in: mjoe"} {
		if !strings.Contains(out, want) {
			return fmt.Errorf("the session has not %q: %s", want, out)
		}
	}
	return nil
}

// guestKept are files that are written before, between and after the faults.
var guestKept = []string{"before", "between", "after"}

func keptContents(name string) []byte {
	text := make([]byte, 1<<20)
	r := rand.New(rand.NewPCG(uint64(len(name)), 1))
	for i := range text {
		text[i] = byte(r.Uint32())
	}
	return text
}

const guestMount = "/mnt/fs"

// keep writes a file durably.
func keep(name string) error {
	f, err := os.Create(filepath.Join(guestMount, name))
	if err != nil {
		return err
	}
	_, err = f.Write(keptContents(name))
	return errors.Join(err, f.Sync(), f.Close())
}

// fileSystem makes a file system, trims it, checks it and mounts it.
func (o *openISCSI) fileSystem() error {
	dev, err := o.disk(guestFiles)
	if err != nil {
		return err
	}
	if _, err := o.in.Run("mkfs.ext4", "-q", dev); err != nil {
		return err
	}
	if err := o.in.Mount(dev, guestMount, "ext4", 0, ""); err != nil {
		return err
	}
	if err := errors.Join(keep("removed"), os.Remove(guestMount+"/removed"), keep(guestKept[0])); err != nil {
		return err
	}
	if out, err := o.in.Run("fstrim", "-v", guestMount); err != nil || strings.Contains(out, " 0 B") {
		return fmt.Errorf("fstrim: %w: %s", err, out)
	}
	if err := o.in.Unmount(guestMount); err != nil {
		return err
	}
	if _, err := o.in.Run("e2fsck", "-fn", dev); err != nil {
		return err
	}
	return o.in.Mount(dev, guestMount, "ext4", 0, "")
}

// state is that of the session, by sysfs.
func (o *openISCSI) state() string {
	names, _ := filepath.Glob("/sys/class/iscsi_session/session*/state")
	for _, name := range names {
		text, _ := os.ReadFile(name)
		return strings.TrimSpace(string(text))
	}
	return ""
}

// faults has the host do what befalls networks and targets, while fio runs and the log
// is written.
func (o *openISCSI) faults() error {
	dev, err := o.disk(guestLog)
	if err != nil {
		return err
	}
	load := &guestLoad{in: o.in, files: diskOf(guestFiles), failed: make(chan error, 2), stop: make(chan struct{})}
	go func() { load.failed <- load.fio() }()
	go func() { load.failed <- load.log(dev) }()
	for i, f := range []struct{ begin, end string }{
		{"pull the cable out", "put the cable in"},
		{"stop the target", "start the target"},
	} {
		if err := load.progress(); err != nil {
			return err
		}
		if err := o.fault(load, f.begin, f.end); err != nil {
			return fmt.Errorf("%s: %w", f.begin, err)
		}
		if err := load.progress(); err != nil {
			return fmt.Errorf("after %s: %w", f.end, err)
		}
		if err := keep(guestKept[i+1]); err != nil {
			return err
		}
	}
	close(load.stop)
	if err := errors.Join(<-load.failed, <-load.failed); err != nil {
		return err
	}
	return o.in.Unmount(guestMount)
}

// fault lasts until the kernel has seen it and for a second more.
func (o *openISCSI) fault(load *guestLoad, begin, end string) error {
	host := func(what string) error {
		o.in.Tell("host: %s", what)
		_, err := o.in.Hear()
		return err
	}
	if err := host(begin); err != nil {
		return err
	}
	load.life.Add(1)
	if err := o.in.Await(time.Minute, func() bool { return o.state() == "FAILED" }); err != nil {
		return fmt.Errorf("the kernel has not seen it: %w", err)
	}
	time.Sleep(time.Second)
	if err := host(end); err != nil {
		return err
	}
	if err := o.in.Await(90*time.Second, func() bool { return o.state() == "LOGGED_IN" }); err != nil {
		return fmt.Errorf("the session has not come back: %w", err)
	}
	return nil
}

// A guestLoad is what works on the disks meanwhile.
type guestLoad struct {
	in     *guest.Inside
	files  string       // the disk of the file system
	life   atomic.Int64 // faults so far
	groups atomic.Int64 // of the log
	failed chan error
	stop   chan struct{}
}

// verified is how many blocks fio has read: the disk's reads, by sysfs.
func (l *guestLoad) verified() (n int64) {
	text, _ := os.ReadFile("/sys/block/" + filepath.Base(l.files) + "/stat")
	fmt.Sscan(string(text), &n)
	return n
}

// progress waits until both have gone on.
func (l *guestLoad) progress() error {
	verified, groups := l.verified(), l.groups.Load()
	var failed error
	err := l.in.Await(2*time.Minute, func() bool {
		select {
		case failed = <-l.failed:
			return true
		default:
			return l.verified() > verified+2*fioBacklog && l.groups.Load() > groups+2
		}
	})
	return errors.Join(err, failed)
}

// fioBacklog is after how many writes fio verifies them.
const fioBacklog = 256

// fioVerifies are arguments of fio: it writes at random and verifies.
func fioVerifies(more ...string) []string {
	return append([]string{"--name=x", "--directory=" + guestMount, "--bs=4k", "--rw=randwrite", "--ioengine=libaio", "--direct=1", "--iodepth=16",
		"--verify=crc32c", "--verify_fatal=1", fmt.Sprintf("--verify_backlog=%d", fioBacklog), "--thread"}, more...)
}

// fio writes a file and verifies what it has written, again and again.
func (l *guestLoad) fio() error {
	var out bytes.Buffer
	cmd := exec.Command("fio", fioVerifies("--size=4m", "--time_based", "--runtime=600")...)
	cmd.Stdout, cmd.Stderr = &out, &out
	if err := cmd.Start(); err != nil {
		return err
	}
	ended := make(chan error, 1)
	go func() { ended <- cmd.Wait() }()
	var err error
	select {
	case err = <-ended:
		err = fmt.Errorf("fio has ended by itself: %w", err)
	case <-l.stop:
		cmd.Process.Signal(os.Interrupt)
		<-ended // with a status that tells of the signal
	}
	if err == nil && !strings.Contains(out.String(), "err= 0:") {
		err = errors.New("fio has seen errors")
	}
	if err != nil {
		err = fmt.Errorf("%w: %s", err, &out)
	}
	return err
}

func (l *guestLoad) ends() bool {
	select {
	case <-l.stop:
		return true
	default:
		return false
	}
}

// logGroup is the size of what is flushed at a time, in bytes, and logBlock that of one
// write.
const (
	logBlock = 4 << 10
	logGroup = 4 * logBlock
)

func logContents(group int) []byte {
	text := make([]byte, logGroup)
	r := rand.New(rand.NewPCG(uint64(group), 2))
	for i := range text {
		text[i] = byte(r.Uint32())
	}
	return text
}

// log writes groups one behind another, past the page cache, flushes each, and tells of
// it. It does not tell of those that a fault befell between the first write and the
// flush: Linux flushes after a target's loss of power, of which a unit attention tells it,
// as if nothing had been lost.
func (l *guestLoad) log(dev string) error {
	f, err := os.OpenFile(dev, os.O_RDWR|unix.O_DIRECT, 0)
	if err != nil {
		return err
	}
	defer f.Close()
	p, err := unix.Mmap(-1, 0, logGroup, unix.PROT_READ|unix.PROT_WRITE, unix.MAP_ANON|unix.MAP_PRIVATE) // aligned to pages
	if err != nil {
		return err
	}
	for n := 0; !l.ends(); n++ {
		if (n+1)*logGroup > guestSize {
			return errors.New("the log is full")
		}
		life := l.life.Load()
		copy(p, logContents(n))
		for off := 0; off < logGroup; off += logBlock {
			if _, err := f.WriteAt(p[off:off+logBlock], int64(n*logGroup+off)); err != nil {
				return err
			}
		}
		if err := f.Sync(); err != nil {
			return err
		}
		if life == l.life.Load() {
			l.in.Tell("flushed group %d", n)
		}
		l.groups.Add(1)
	}
	return nil
}
