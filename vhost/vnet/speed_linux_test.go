package vnet

import (
	"fmt"
	"net"
	"net/netip"
	"os"
	"os/exec"
	"slices"
	"strconv"
	"strings"
	"testing"

	gonet "github.com/seed-012105e5/gonet"
	"github.com/seed-012105e5/gonet/internal/testing/guest"
	"github.com/seed-012105e5/gonet/internal/testing/need"
	"github.com/seed-012105e5/gonet/link"
	"github.com/seed-012105e5/gonet/tap"
)

// TestSpeed compares, for one guest with two cards, a stack over vhost-user with one over
// a tap, which a bridge joins with QEMU's. It measures, so it runs only when it is asked
// for, in a network namespace of its own:
//
//	GONET_SPEED=1 unshare -n go test ./vhost/vnet -run TestSpeed -v
func TestSpeed(t *testing.T) {
	if os.Getenv("GONET_SPEED") == "" {
		t.Skip("it measures: only with GONET_SPEED=1")
	}
	if all, err := net.Interfaces(); err != nil || len(all) != 1 {
		t.Fatalf("this network namespace is not its own: %v, %v", all, err)
	}
	iperf3 := need.Program(t, "iperf3")
	dir := t.TempDir()
	card, err := Listen(dir+"/net.sock", Config{})
	if err != nil {
		t.Fatal(err)
	}
	ip := func(args string) {
		t.Helper()
		if out, err := exec.Command("ip", strings.Fields(args)...).CombinedOutput(); err != nil {
			t.Fatalf("ip %s: %v: %s", args, err, out)
		}
	}
	ip("link set lo up")
	ip("link add bridge0 type bridge")
	ip("link set bridge0 up")
	cable, err := tap.Open(tap.Config{Name: "ours"})
	if err != nil {
		t.Fatal(err)
	}
	ip("tuntap add guests mode tap")
	for _, name := range []string{"ours", "guests"} {
		ip("link set " + name + " master bridge0 up")
	}
	to := startIperf(t)
	for i, l := range []link.Link{card, cable} {
		stack, err := gonet.New(gonet.Config{Link: l, Addr: netip.MustParsePrefix(fmt.Sprintf("10.0.%d.1/24", i))})
		if err != nil {
			t.Fatal(err)
		}
		defer stack.Close()
		relay(t, stack, ":5201", to)
	}
	qemu := append(cardOf(dir+"/net.sock", "", ""), "-netdev", "tap,id=tap,ifname=guests,script=no,downscript=no",
		"-device", "virtio-net-pci,netdev=tap,mac=02:00:00:00:00:98")
	qemu[slices.IndexFunc(qemu, func(s string) bool { return strings.HasSuffix(s, "queues=2") })] = "vhost-user,id=net,chardev=net"
	started := guest.Start(t, guest.Config{Job: "agent", Modules: []string{"virtio_net"}, Programs: []string{iperf3}, QEMU: qemu})
	g := &commanded{t, started, started.Lines}
	g.booted()
	names := map[string]string{}
	for _, name := range []string{"eth0", "eth1"} {
		names[g.do("read", "/sys/class/net/"+name+"/address")] = name
	}
	for i, mac := range []string{guestMAC, "02:00:00:00:00:98"} {
		g.do("address", names[mac], fmt.Sprintf("10.0.%d.2/24", i))
	}
	for _, way := range [][]string{nil, {"-R"}} {
		var rates [2][]float64
		for range 3 {
			for i := range rates {
				out := g.do("run", append([]string{"iperf3", "-c", fmt.Sprintf("10.0.%d.1", i), "-t", "2", "-P", "2", "-f", "m"}, way...)...)
				rates[i] = append(rates[i], rateOf(t, sumLine(out)))
			}
		}
		for i := range rates {
			slices.Sort(rates[i])
		}
		t.Logf("iperf3 %v: over vhost-user %v Mbit/s, over the tap %v, ratio of medians %.2f", way, rates[0], rates[1], rates[0][1]/rates[1][1])
	}
	g.end()
}

// rateOf is the number in front of the unit.
func rateOf(t *testing.T, line string) float64 {
	t.Helper()
	fields := strings.Fields(line)
	if i := slices.Index(fields, "Mbits/sec"); i > 0 {
		if n, err := strconv.ParseFloat(fields[i-1], 64); err == nil {
			return n
		}
	}
	t.Fatalf("%q has no rate", line)
	return 0
}
