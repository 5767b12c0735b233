package vnet

import (
	"bytes"
	"fmt"
	"net/http"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"syscall"
	"testing"
	"time"

	gonet "github.com/seed-012105e5/gonet"
	"github.com/seed-012105e5/gonet/internal/testing/need"
	"github.com/seed-012105e5/gonet/internal/testing/netns"
)

// An openVSwitch is one with DPDK, whose bridge has two ports, which are sockets that
// front ends connect to.
type openVSwitch struct {
	t   *testing.T
	dir string
	env []string
}

// switchd is where Debian's openvswitch-switch-dpdk has the daemon.
const switchd = "/usr/lib/openvswitch-switch-dpdk/ovs-vswitchd-dpdk"

func startOpenVSwitch(t *testing.T) *openVSwitch {
	t.Helper()
	need.Programs(t, switchd, "ovsdb-server", "ovsdb-tool", "ovs-vsctl")
	netns.NeedTun(t)
	dir, err := os.MkdirTemp("", "ovs") // whose name is short, for sockets
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	o := &openVSwitch{t: t, dir: dir, env: append(os.Environ(), "RUNTIME_DIRECTORY="+dir)}
	for _, name := range []string{"RUNDIR", "LOGDIR", "DBDIR", "SYSCONFDIR"} {
		o.env = append(o.env, "OVS_"+name+"="+dir)
	}
	const schema = "/usr/share/openvswitch/vswitch.ovsschema"
	o.run("ovsdb-tool", "create", dir+"/conf.db", schema)
	o.start("ovsdb-server", dir+"/conf.db", "--remote=punix:"+o.database())
	o.await(o.database())
	// Open vSwitch has DPDK take memory as with --in-memory, which that refuses together
	// with --no-huge, unless it sees --legacy-mem.
	o.configure("--no-wait", "init")
	o.configure("--no-wait", "set", "Open_vSwitch", ".", "other_config:dpdk-init=true", "other_config:per-port-memory=true",
		fmt.Sprintf("other_config:dpdk-extra=--no-huge --legacy-mem --no-pci -m 512 --file-prefix=gonet-%d", os.Getpid()))
	o.start(switchd, "unix:"+o.database(), "--log-file="+dir+"/log")
	o.configure("--timeout=60", "add-br", "br0", "--", "set", "bridge", "br0", "datapath_type=netdev")
	for _, port := range []string{"a", "b"} {
		o.configure("--timeout=60", "add-port", "br0", port, "--", "set", "Interface", port, "type=dpdkvhostuser")
		o.await(dir + "/" + port)
	}
	return o
}

func (o *openVSwitch) database() string { return o.dir + "/db.sock" }

// configure changes the configuration.
func (o *openVSwitch) configure(args ...string) {
	o.t.Helper()
	o.run("ovs-vsctl", append([]string{"--db=unix:" + o.database()}, args...)...)
}

func (o *openVSwitch) run(name string, args ...string) {
	o.t.Helper()
	cmd := exec.Command(need.Program(o.t, name), args...)
	cmd.Env = o.env
	if out, err := cmd.CombinedOutput(); err != nil {
		o.t.Fatalf("%s %q: %v: %s\n%s", name, args, err, out, o.log())
	}
}

// start starts a daemon, in a network of its own, where it makes a tap for its bridge.
func (o *openVSwitch) start(name string, args ...string) {
	o.t.Helper()
	cmd := exec.Command(need.Program(o.t, name), append(args, "-vconsole:off", "--pidfile="+filepath.Join(o.dir, filepath.Base(name)+".pid"))...)
	cmd.Env = o.env
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL, Cloneflags: syscall.CLONE_NEWNET}
	if id := os.Getuid(); id != 0 {
		cmd.SysProcAttr.Cloneflags |= syscall.CLONE_NEWUSER
		cmd.SysProcAttr.UidMappings = []syscall.SysProcIDMap{{ContainerID: 0, HostID: id, Size: 1}}
		cmd.SysProcAttr.GidMappings = []syscall.SysProcIDMap{{ContainerID: 0, HostID: os.Getgid(), Size: 1}}
	}
	if err := cmd.Start(); err != nil {
		o.t.Fatal(err)
	}
	o.t.Cleanup(func() { cmd.Process.Kill(); cmd.Wait() })
}

// await waits for a socket.
func (o *openVSwitch) await(path string) {
	o.t.Helper()
	for end := time.Now().Add(time.Minute); ; time.Sleep(20 * time.Millisecond) {
		if _, err := os.Stat(path); err == nil {
			return
		}
		if time.Now().After(end) {
			o.t.Fatalf("there is no %s\n%s", path, o.log())
		}
	}
}

// log is the last that the daemon has said.
func (o *openVSwitch) log() string {
	text, _ := os.ReadFile(o.dir + "/log")
	lines := bytes.Split(text, []byte("\n"))
	return string(bytes.Join(lines[max(0, len(lines)-30):], []byte("\n")))
}

// TestOpenVSwitch joins two stacks by their front ends to an Open vSwitch, which forwards
// between them: pings, and HTTP with megabytes.
func TestOpenVSwitch(t *testing.T) {
	if testing.Short() {
		t.Skip("not with -short: it keeps a CPU busy")
	}
	o := startOpenVSwitch(t)
	var stacks []*gonet.Stack
	for i, port := range []string{"a", "b"} {
		card, err := Dial(filepath.Join(o.dir, port), Config{Name: port, MAC: [6]byte{2, 0, 0, 0, 1, byte(i)}})
		if err != nil {
			t.Fatalf("%v\n%s", err, o.log())
		}
		stack, err := gonet.New(gonet.Config{Link: card, Addr: netip.PrefixFrom(netip.AddrFrom4([4]byte{10, 0, 0, byte(i + 1)}), 24)})
		if err != nil {
			t.Fatal(err)
		}
		defer stack.Close()
		stacks = append(stacks, stack)
	}
	waitFor(t, "a ping crosses", func() bool {
		_, err := stacks[1].Ping(t.Context(), netip.MustParseAddr("10.0.0.1"))
		return err == nil
	})
	serveDigest(t, stacks[0])
	c := &http.Client{Transport: &http.Transport{DialContext: stacks[1].DialContext}, Timeout: 2 * time.Minute}
	defer c.CloseIdleConnections()
	if _, err := post(c, "http://10.0.0.1/"); err != nil {
		t.Errorf("%v\n%s", err, o.log())
	}
}
