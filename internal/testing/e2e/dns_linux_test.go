package e2e

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/gopacket"
	"github.com/google/gopacket/layers"

	"github.com/seed-012105e5/gonet/dns"
	"github.com/seed-012105e5/gonet/internal/testing/dnstest"
	"github.com/seed-012105e5/gonet/link"
	"github.com/seed-012105e5/gonet/packet"
)

// bigName has so many addresses that they do not fit a datagram.
const (
	bigName  = "big.example.org"
	bigCount = 120
)

func bigAddr(i int) string { return fmt.Sprintf("192.0.2.%d", i+1) }

// A nameServer is a program that serves example.org on the kernel's address.
type nameServer struct {
	name string
	args func(t *testing.T) []string
}

var nameServers = []nameServer{{"unbound", unboundArgs}, {"dnsmasq", dnsmasqArgs}}

// unboundArgs has unbound do recursion where it finds the root and example.org in
// files.
func unboundArgs(t *testing.T) []string {
	dir := t.TempDir()
	zone := `$ORIGIN example.org.
@     600 IN SOA ns root 1 3600 600 86400 300
@     600 IN NS ns
ns    600 IN A 10.0.0.1
www   600 IN A 10.0.0.1
alias 60 IN CNAME www
once  0 IN A 10.0.0.1
text  60 IN TXT "not an address"
loop  60 IN CNAME pool
pool  60 IN CNAME loop
`
	for i := range bigCount {
		zone += fmt.Sprintf("big 60 IN A %s\n", bigAddr(i))
	}
	root := ". 600 IN SOA ns.example.org. root.example.org. 1 3600 600 86400 300\n. 600 IN NS ns.example.org.\nexample.org. 600 IN NS ns.example.org.\n"
	reverse := "$ORIGIN 0.0.10.in-addr.arpa.\n@ 600 IN SOA ns.example.org. root.example.org. 1 3600 600 86400 300\n@ 600 IN NS ns.example.org.\n1 60 IN PTR www.example.org.\n"
	conf := fmt.Sprintf(`server:
	directory: %q
	chroot: ""
	username: ""
	pidfile: ""
	use-syslog: no
	interface: %s
	access-control: 10.0.0.0/24 allow
	do-ip6: no
	do-not-query-localhost: no
	module-config: "iterator"
	num-threads: 1
	minimal-responses: yes
	local-zone: "10.in-addr.arpa." transparent
`, dir, kernel)
	for name, text := range map[string]string{".": root, "example.org.": zone, "0.0.10.in-addr.arpa.": reverse} {
		file := filepath.Join(dir, "zone."+strings.Trim(name, "."))
		must(t, os.WriteFile(file, []byte(text), 0o644))
		conf += fmt.Sprintf("auth-zone:\n\tname: %q\n\tzonefile: %q\n\tfor-downstream: no\n\tfor-upstream: yes\n", name, file)
	}
	file := filepath.Join(dir, "unbound.conf")
	must(t, os.WriteFile(file, []byte(conf), 0o644))
	return []string{"-d", "-d", "-c", file}
}

func dnsmasqArgs(t *testing.T) []string {
	args := []string{
		"--keep-in-foreground", "--log-facility=-", "--conf-file=/dev/null", "--pid-file=", "--user=root", "--group=",
		"--no-resolv", "--no-hosts", "--bind-interfaces", "--listen-address=" + kernel, "--local=/#/", "--local-ttl=600", "--neg-ttl=300",
		"--host-record=www.example.org," + kernel, "--cname=alias.example.org,www.example.org,60",
		"--host-record=once.example.org," + kernel + ",0", "--txt-record=text.example.org,not an address",
	}
	for i := range bigCount {
		args = append(args, "--host-record="+bigName+","+bigAddr(i))
	}
	return args
}

// serve starts the server on the kernel of h, and waits until it answers.
func (s nameServer) serve(t *testing.T, h *host) {
	t.Helper()
	cmd := command(t, 2*time.Minute, s.name, s.args(t)...)
	var out bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &out
	must(t, h.ns.Start(cmd))
	t.Cleanup(func() {
		cmd.Cancel()
		cmd.Wait()
		if t.Failed() {
			t.Logf("%s:\n%s", s.name, &out)
		}
	})
	for range 100 { // a TCP connection says that UDP is served too
		c, err := h.ns.Dial(t.Context(), "tcp", kernel+":53")
		if err == nil {
			c.Close()
			return
		}
		time.Sleep(50 * time.Millisecond)
	}
	t.Fatalf("%s does not listen", s.name)
}

// named is the cable of a stack that asks the kernel's name server.
func named(c cable) cable {
	c.dns.Servers = []netip.AddrPort{netip.MustParseAddrPort(kernel + ":53")}
	c.dns.Search = []string{"example.org"}
	if c.dns.Timeout == 0 {
		c.dns.Timeout = 10 * time.Second // a busy machine must not pass for a lost datagram
	}
	return c
}

func eachNameServer(t *testing.T, c cable, f func(t *testing.T, h *host, server string)) {
	for _, s := range nameServers {
		t.Run(s.name, func(t *testing.T) {
			need(t, s.name)
			h := newHost(t, named(c))
			s.serve(t, h)
			f(t, h, s.name)
		})
	}
}

// TestNames asks unbound and dnsmasq for all kinds of names.
func TestNames(t *testing.T) {
	eachNameServer(t, cable{}, func(t *testing.T, h *host, server string) {
		for _, name := range []string{"www.example.org", "www", "WWW.example.org.", "alias", "once"} {
			if addrs, err := h.LookupHost(t.Context(), name); err != nil || !slices.Equal(addrs, []string{kernel}) {
				t.Errorf("%s: %v, %v", name, addrs, err)
			}
		}
		if name, err := h.LookupCNAME(t.Context(), "alias"); name != "www.example.org." || err != nil {
			t.Errorf("alias of %q, %v", name, err)
		}
		if names, err := h.LookupAddr(t.Context(), kernel); err != nil || !slices.Contains(names, "www.example.org.") {
			t.Errorf("names of %s: %v, %v", kernel, names, err)
		}
		for _, name := range []string{"nobody.example.org.", "text.example.org.", "nobody"} {
			_, err := h.LookupHost(t.Context(), name)
			var e *net.DNSError
			if !errors.As(err, &e) || !e.IsNotFound || e.Server != kernel+":53" {
				t.Errorf("%s: %v", name, err)
			}
		}
		if server == "unbound" {
			_, err := h.LookupHost(t.Context(), "loop.example.org.")
			t.Logf("a loop: %v", err)
			if err == nil {
				t.Error("a loop of aliases has an address")
			}
		}
		want := map[string]uint64{"unbound": 10, "dnsmasq": 20}[server] // whose negative answers have no SOA, and are not kept
		before := h.Stats()
		for range 10 { // from the cache, but for what has a TTL of 0
			for _, name := range []string{"www", "alias", "once", "nobody.example.org."} {
				h.LookupHost(t.Context(), name)
			}
		}
		if n := h.Stats()["dns.Queries"] - before["dns.Queries"]; n != want {
			t.Errorf("%d queries, want %d; counters:\n%v", n, want, h.Stats())
		}
	})
}

// TestNamesTruncated has more addresses than a datagram holds.
func TestNamesTruncated(t *testing.T) {
	eachNameServer(t, cable{}, func(t *testing.T, h *host, server string) {
		h.wantBig(t)
		if s := h.Stats(); s["dns.Truncated"] != 1 || s["dns.QueriesTCP"] != 1 {
			t.Errorf("counters:\n%v", s)
		}
	})
}

// wantBig looks up the name with many addresses.
func (h *host) wantBig(t *testing.T) {
	t.Helper()
	addrs, err := h.LookupHost(t.Context(), bigName)
	slices.Sort(addrs)
	if err != nil || len(slices.Compact(addrs)) != bigCount || !slices.Contains(addrs, bigAddr(bigCount-1)) {
		t.Errorf("%d addresses, %v", len(addrs), err)
	}
}

// TestNamesUnderLoss asks over a line that loses one frame in five each way.
func TestNamesUnderLoss(t *testing.T) {
	wire := link.Impairment{Loss: 0.2, Duplicate: 0.1, Reorder: 0.1, Delay: time.Millisecond, Seed: 3}
	c := cable{wire: wire, dns: dns.Config{Timeout: 200 * time.Millisecond, Attempts: 20}}
	eachNameServer(t, c, func(t *testing.T, h *host, server string) {
		h.wantBig(t)
		for i := range 20 {
			name := fmt.Sprintf("nobody%d.example.org.", i)
			_, err := h.LookupHost(t.Context(), name)
			var e *net.DNSError
			if !errors.As(err, &e) || !e.IsNotFound {
				t.Errorf("%s: %v", name, err)
			}
		}
		if h.Stats()["dns.Timeouts"] == 0 {
			t.Errorf("nothing was lost; counters:\n%v", h.Stats())
		}
	})
}

// TestHTTPByName gets a URL with a host name from a server on the kernel.
func TestHTTPByName(t *testing.T) {
	eachNameServer(t, cable{}, func(t *testing.T, h *host, server string) {
		l, err := h.ns.Listen("tcp", kernel+":80")
		must(t, err)
		s := &http.Server{Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { io.WriteString(w, "this is "+r.Host) })}
		go s.Serve(l)
		defer s.Close()
		transport := &http.Transport{DialContext: h.DialContext}
		defer transport.CloseIdleConnections()
		client := &http.Client{Transport: transport, Timeout: 10 * time.Second}
		for _, name := range []string{"www.example.org", "alias"} {
			r, err := client.Get("http://" + name + "/")
			must(t, err)
			body, err := io.ReadAll(r.Body)
			r.Body.Close()
			if string(body) != "this is "+name || err != nil {
				t.Errorf("%q, %v", body, err)
			}
		}
		_, err = client.Get("http://nobody.example.org/")
		var e *net.DNSError
		if !errors.As(err, &e) || !e.IsNotFound {
			t.Errorf("nobody: %v", err)
		}
	})
}

// TestNamesForged has a forger in the network who sees that there is a query, and
// its port, but not the id: its replies, from the server's address, are there
// before the server's. So is one with the id from another address.
func TestNamesForged(t *testing.T) {
	forged := make(chan int, 1)
	c := cable{router: func(l link.Link) link.Link { return forger(t, l, forged) }}
	eachNameServer(t, c, func(t *testing.T, h *host, server string) {
		for _, name := range []string{"www", "alias", "once"} {
			if addrs, err := h.LookupHost(t.Context(), name); err != nil || !slices.Equal(addrs, []string{kernel}) {
				t.Errorf("%s: %v, %v", name, addrs, err)
			}
		}
		s := h.Stats()
		if s["dns.DropUnasked"] == 0 || s["udp.DropNoSocket"] == 0 || s["dns.Queries"] != 3 {
			t.Errorf("counters:\n%v", s)
		}
		h.Stack.Close()
		if n := <-forged; n != 3*forgeries {
			t.Errorf("%d replies were forged", n)
		}
	})
}

// forgeries is how many replies a forger sends for one query.
const forgeries = 20

// forger lets all pass, and sends replies of its own to each query by UDP. It
// tells how many when the link has ended.
func forger(t *testing.T, l link.Link, told chan<- int) link.Link {
	tx, rx := make(chan *packet.Buffer, link.QueueLen), make(chan *packet.Buffer, link.QueueLen)
	go func(fromStack <-chan *packet.Buffer, toStack chan<- *packet.Buffer, out chan<- *packet.Buffer, in <-chan *packet.Buffer) {
		n := 0
		for in != nil {
			select {
			case b, ok := <-fromStack:
				if !ok {
					close(out)
					fromStack = nil
					continue
				}
				frames := forge(t, b.Bytes())
				for _, f := range frames {
					reply := packet.Get(len(f))
					reply.Append(f)
					reply.Arrived = time.Now()
					toStack <- reply
				}
				n += len(frames)
				out <- b
			case b, ok := <-in:
				if !ok {
					in = nil
					continue
				}
				toStack <- b
			}
		}
		close(toStack)
		told <- n
	}(tx, rx, l.Tx, l.Rx)
	l.Tx, l.Rx = tx, rx
	return l
}

// forge is the replies to the query in a frame; none when there is no query.
func forge(t *testing.T, frame []byte) (frames [][]byte) {
	p := gopacket.NewPacket(frame, layers.LayerTypeEthernet, gopacket.Default)
	u, _ := p.Layer(layers.LayerTypeUDP).(*layers.UDP)
	if u == nil || u.DstPort != 53 {
		return nil
	}
	network, ethernet := p.Layer(layers.LayerTypeIPv4).(*layers.IPv4), p.Layer(layers.LayerTypeEthernet).(*layers.Ethernet)
	query := bytes.Clone(u.Payload)
	for i := range forgeries {
		from := network.DstIP
		if i == 0 {
			from = net.IPv4(10, 0, 0, 77).To4()
		} else {
			query[1]++
		}
		msg, err := dnstest.Answers(dnstest.A(questionOf(query), 3600, "192.0.2.66")).To(query)
		if err != nil {
			t.Error(err)
			return nil
		}
		frames = append(frames, serialize(t, []gopacket.SerializableLayer{
			&layers.Ethernet{SrcMAC: ethernet.DstMAC, DstMAC: ethernet.SrcMAC, EthernetType: layers.EthernetTypeIPv4},
			&layers.IPv4{Version: 4, IHL: 5, TTL: 64, Protocol: layers.IPProtocolUDP, SrcIP: from, DstIP: network.SrcIP},
			&layers.UDP{SrcPort: u.DstPort, DstPort: u.SrcPort},
			gopacket.Payload(msg),
		}))
	}
	return frames
}

// questionOf is the name that is asked for in a query, as text.
func questionOf(query []byte) (name string) {
	for p := query[12:]; p[0] != 0; p = p[1+p[0]:] {
		name += string(p[1:1+p[0]]) + "."
	}
	return name
}
