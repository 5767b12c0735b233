package vnet

import (
	"bytes"
	"crypto/sha256"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/netip"
	"os"
	"os/exec"
	"strings"
	"testing"
	"time"

	gonet "github.com/seed-012105e5/gonet"
	"github.com/seed-012105e5/gonet/internal/testing/guest"
	"github.com/seed-012105e5/gonet/internal/testing/need"
	"github.com/seed-012105e5/gonet/internal/testing/qmp"
)

func TestMain(m *testing.M) {
	if path := os.Getenv(backEndPath); path != "" {
		if err := runBackEnd(path); err != nil {
			fmt.Println(err)
			os.Exit(1)
		}
		return
	}
	guest.Main(m, map[string]guest.Job{"agent": agent})
}

// bigText is what goes there and back.
func bigText() []byte {
	text := make([]byte, 4<<20)
	for i := range text {
		text[i] = byte(i>>12) ^ byte(i)
	}
	return text
}

// digest answers with the hash of what was sent, and what was sent.
func digest(w http.ResponseWriter, r *http.Request) {
	text, err := io.ReadAll(r.Body)
	if err != nil {
		http.Error(w, err.Error(), http.StatusBadRequest)
		return
	}
	fmt.Fprintf(w, "%x", sha256.Sum256(text))
	w.Write(text)
}

// post sends the text, and checks what comes back.
func post(c *http.Client, url string) (sum string, err error) {
	text := bigText()
	r, err := c.Post(url, "application/octet-stream", bytes.NewReader(text))
	if err != nil {
		return "", err
	}
	defer r.Body.Close()
	got, err := io.ReadAll(r.Body)
	if err != nil {
		return "", err
	}
	sum = fmt.Sprintf("%x", sha256.Sum256(text))
	if !bytes.Equal(got, append([]byte(sum), text...)) {
		return "", fmt.Errorf("%d bytes came back, and are others", len(got))
	}
	return sum, nil
}

// cardOf are the arguments of a QEMU with one card: a unix socket that the card's back
// end serves, options of the chardev, and of the card's device.
func cardOf(path, chardev, device string) []string {
	return []string{
		"-object", "memory-backend-memfd,id=mem,size=384M,share=on", "-machine", "memory-backend=mem",
		"-chardev", "socket,id=net,path=" + path + chardev, "-netdev", "vhost-user,id=net,chardev=net,queues=2",
		"-device", "pcie-root-port,id=root1,chassis=1,slot=1",
		// With vectors QEMU 7.2 without KVM crashes as soon as the driver starts.
		"-device", "virtio-net-pci,id=card,bus=root1,netdev=net,mq=on,vectors=0,mac=" + guestMAC + device,
	}
}

const guestMAC = "02:00:00:00:00:99"

// kinds are whether rings are packed: what a test has, and with GONET_LONG=1 the other
// as well.
func kinds(first, other string) []string {
	if os.Getenv("GONET_LONG") != "" {
		return []string{first, other}
	}
	return []string{first}
}

// TestGuest has a virtual machine with two CPUs and two pairs of rings: what its driver
// is told; ping, curl, wrk and iperf3 through the card; HTTP, each side as client and as
// server; then it boots again, and at last the card is taken out.
func TestGuest(t *testing.T) {
	for _, packed := range kinds("on", "off") {
		t.Run("packed-"+packed, func(t *testing.T) { testGuest(t, packed) })
	}
}

func testGuest(t *testing.T, packed string) {
	guest.Need(t)
	var programs []string
	for _, name := range []string{"ping", "curl", "wrk", "iperf3"} {
		programs = append(programs, need.Program(t, name))
	}
	dir := t.TempDir()
	card, err := Listen(dir+"/net.sock", Config{Queues: 2, Report: func(ring int, err error) { t.Logf("ring %d: %v", ring, err) }})
	if err != nil {
		t.Fatal(err)
	}
	stack, err := gonet.New(gonet.Config{Link: card, Addr: netip.MustParsePrefix("10.0.0.1/24")})
	if err != nil {
		t.Fatal(err)
	}
	defer stack.Close()
	serveDigest(t, stack)
	relay(t, stack, ":5201", startIperf(t))
	c := &http.Client{Transport: &http.Transport{DialContext: stack.DialContext}, Timeout: 2 * time.Minute}
	defer c.CloseIdleConnections()

	qemu := append(cardOf(dir+"/net.sock", "", ",host_mtu=1400,packed="+packed), "-smp", "2", "-action", "reboot=reset", "-m", "384,slots=1,maxmem=1G")
	started := guest.Start(t, guest.Config{Job: "agent", Modules: []string{"virtio_net"}, Programs: programs, QEMU: append(qemu, qmp.Args(dir+"/qmp.sock")...)})
	g := &commanded{t, started, started.Lines}
	g.booted()
	g.do("up", "10.0.0.2/24")
	for _, c := range []struct{ file, want string }{{"mtu", "1400"}, {"address", guestMAC}, {"carrier", "1"}} {
		if got := g.do("read", "/sys/class/net/eth0/"+c.file); got != c.want {
			t.Errorf("%s is %s, want %s", c.file, got, c.want)
		}
	}
	if got := g.do("list", "/sys/class/net/eth0/queues"); got != "rx-0 rx-1 tx-0 tx-1" {
		t.Errorf("its queues are %s", got)
	}
	t.Log(lastLine(g.do("run", "ping", "-n", "-c", "5", "-i", "0.05", "10.0.0.1")))
	both(t, g, c)
	if out := g.do("run", "curl", "-sS", "-d", "text", "http://10.0.0.1/"); !strings.HasSuffix(out, "text") {
		t.Errorf("curl has got %q", out)
	}
	t.Log(lastLine(g.do("run", "wrk", "-t1", "-c8", "-d1s", "http://10.0.0.1:80/")))
	for _, way := range [][]string{nil, {"-R"}} {
		out := g.do("run", append([]string{"iperf3", "-c", "10.0.0.1", "-t", "1", "-P", "2", "-f", "m"}, way...)...)
		t.Logf("iperf3 %v: %s", way, strings.Join(strings.Fields(sumLine(out)), " "))
	}

	q, err := qmp.Dial(dir + "/qmp.sock")
	if err != nil {
		t.Fatal(err)
	}
	defer q.Close()
	t.Logf("more memory: %s", plugMemory(g, q))
	both(t, g, c) // with buffers in the new memory

	c.CloseIdleConnections() // which the guest will not know any more
	g.say("reboot")
	g.booted()
	g.do("up", "10.0.0.2/24")
	both(t, g, c)

	if _, err := q.Do("device_del", map[string]any{"id": "card"}); err != nil {
		t.Fatal(err)
	}
	waitFor(t, "the card is out", func() bool { return g.do("list", "/sys/class/net") == "lo" })
	g.end()
	s := card.Stats
	t.Logf("to the guest %d frames, %d bytes; from it %d, %d; dropped: %d full, %d malformed", s.TxFrames.Load(), s.TxBytes.Load(),
		s.RxFrames.Load(), s.RxBytes.Load(), s.DropTxFull.Load(), s.DropMalformed.Load())
	if n := s.TxBytes.Load() / max(s.TxFrames.Load(), 1); n < 1500 {
		t.Errorf("%d bytes a frame to the guest: no trains cross", n)
	}
}

// plugMemory gives the guest more memory, from which its kernel takes what it allocates
// from then on: the old one lies below 4 GB, in zone DMA32, and the new one above. It
// returns how much of that is in use.
func plugMemory(g *commanded, q *qmp.Client) string {
	g.t.Helper()
	g.do("write", "/sys/devices/system/memory/auto_online_blocks", "online")
	before := g.do("zone", "Normal")
	if err := q.PlugMemory("pc-dimm", 128<<20, nil); err != nil {
		g.t.Fatal(err)
	}
	waitFor(g.t, "the guest has more memory", func() bool { return g.do("zone", "Normal") != before })
	return before + " pages, then " + g.do("zone", "Normal")
}

// both has each side be the client of the other one.
func both(t *testing.T, g *commanded, c *http.Client) {
	t.Helper()
	text := g.do("post", "http://10.0.0.1/")
	sum, err := post(c, "http://10.0.0.2/")
	if err != nil || sum != text {
		t.Errorf("%v, %q, the guest had %q", err, sum, text)
	}
}

// lastLine is the last line that says something.
func lastLine(text string) string {
	all := strings.Split(strings.TrimSpace(text), "\n")
	return all[len(all)-1]
}

// sumLine is where iperf3 says what the receiver has got of all connections.
func sumLine(text string) string {
	for _, line := range strings.Split(text, "\n") {
		if strings.Contains(line, "SUM") && strings.Contains(line, "receiver") {
			return line
		}
	}
	return text
}

// serveDigest serves HTTP on a stack.
func serveDigest(t testing.TB, stack *gonet.Stack) {
	t.Helper()
	l, err := stack.Listen("tcp", ":80")
	if err != nil {
		t.Fatal(err)
	}
	server := http.Server{Handler: http.HandlerFunc(digest)}
	go server.Serve(l)
	t.Cleanup(func() { server.Close() })
}

// startIperf runs iperf3 here, and returns where it listens.
func startIperf(t testing.TB) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	_, port, _ := net.SplitHostPort(l.Addr().String())
	l.Close() // the port is free
	cmd := exec.Command(need.Program(t, "iperf3"), "-s", "-B", "127.0.0.1", "-p", port)
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { cmd.Process.Kill(); cmd.Wait() })
	return "127.0.0.1:" + port
}

// relay carries connections to a stack on to an address of this machine.
func relay(t testing.TB, stack *gonet.Stack, at, to string) {
	t.Helper()
	l, err := stack.Listen("tcp", at)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	go func() {
		for {
			a, err := l.Accept()
			if err != nil {
				return
			}
			b, err := net.Dial("tcp", to)
			if err != nil {
				a.Close()
				continue
			}
			go func() { io.Copy(b, a); b.(*net.TCPConn).CloseWrite() }()
			go func() { io.Copy(a, b); a.Close(); b.Close() }()
		}
	}()
}
