package main

import (
	_ "embed"
	"encoding/json"
	"net/http"
	"net/netip"
	"runtime"
	"slices"
	"strings"
	"time"

	"github.com/seed-012105e5/gonet/examples/internal/setup"
	"github.com/seed-012105e5/gonet/tcp"
)

//go:embed page.html
var pageHTML []byte

// statsPath is where the page gets its figures.
const statsPath = "/stats.json"

// A page is what the server has to say about itself.
type page struct {
	host         *setup.Host
	addr, kernel netip.Prefix
	began        time.Time
}

func newPage(host *setup.Host, addr, kernel netip.Prefix) http.Handler {
	p := &page{host, addr, kernel, time.Now()}
	mux := http.NewServeMux()
	mux.HandleFunc("GET /{$}", p.serveHTML)
	mux.HandleFunc("GET "+statsPath, p.serveStats)
	return mux
}

func (p *page) serveHTML(w http.ResponseWriter, _ *http.Request) {
	h := w.Header()
	h.Set("Content-Type", "text/html; charset=utf-8")
	h.Set("Content-Security-Policy", "default-src 'none'; style-src 'unsafe-inline'; script-src 'unsafe-inline'; connect-src 'self'; img-src data:")
	h.Set("Cache-Control", "no-cache")
	w.Write(pageHTML)
}

func (p *page) serveStats(w http.ResponseWriter, r *http.Request) {
	w.Header().Set("Content-Type", "application/json")
	w.Header().Set("Cache-Control", "no-store")
	json.NewEncoder(w).Encode(p.snapshot(r.RemoteAddr))
}

// A snapshot is the stack at one moment. Times are in seconds.
type snapshot struct {
	Addr        netip.Prefix `json:"addr"`
	Kernel      netip.Prefix `json:"kernel"`
	Card        string       `json:"card"`
	MTU         int          `json:"mtu"`
	Uptime      float64      `json:"uptime"`
	Goroutines  int          `json:"goroutines"`
	Connections []connection `json:"connections"`
	Layers      []layer      `json:"layers"`
	Edges       []channel    `json:"edges"`
}

// A channel is an edge of the graph.
type channel struct {
	Name     string `json:"name"`
	Link     int    `json:"link"` // of which interface; -1 where there is one for all
	Waiting  int    `json:"waiting"`
	Capacity int    `json:"capacity"`
	Passed   uint64 `json:"passed"`
	Stalls   uint64 `json:"stalls"` // how often a sender has waited
}

type connection struct {
	Local           string  `json:"local"`
	Remote          string  `json:"remote"` // "" of a listener
	State           string  `json:"state"`
	Yours           bool    `json:"yours"` // carries this very answer
	RTT             float64 `json:"rtt"`
	RTO             float64 `json:"rto"`
	MSS             int     `json:"mss"`
	Window          int     `json:"cwnd"`
	InFlight        int     `json:"inFlight"`
	SendQueue       int     `json:"sendQueue"`
	ReceiveQueue    int     `json:"receiveQueue"`
	OutOfOrderQueue int     `json:"outOfOrderQueue"`
}

type layer struct {
	Name     string    `json:"name"`
	Counters []counter `json:"counters"`
}

type counter struct {
	Name  string `json:"name"`
	Value uint64 `json:"value"`
	Drop  bool   `json:"drop"` // counts packets dropped for a reason
}

// snapshot is what the client at the address remote gets.
func (p *page) snapshot(remote string) snapshot {
	s := snapshot{
		Addr: p.addr, Kernel: p.kernel, Card: p.host.Card.Name, MTU: p.host.Card.MTU,
		Uptime: time.Since(p.began).Seconds(), Goroutines: runtime.NumGoroutine(),
		Connections: []connection{}, Layers: layers(p.host),
	}
	for _, e := range p.host.Edges() {
		s.Edges = append(s.Edges, channel(e))
	}
	for _, i := range p.host.Connections() {
		s.Connections = append(s.Connections, newConnection(i, remote))
	}
	return s
}

func newConnection(i tcp.Info, yours string) connection {
	c := connection{
		Local: i.Local.String(), State: i.State.String(),
		RTT: i.RTT.Seconds(), RTO: i.RTO.Seconds(), MSS: i.SendMSS, Window: i.CongestionWindow, InFlight: i.InFlight,
		SendQueue: i.SendQueue, ReceiveQueue: i.ReceiveQueue, OutOfOrderQueue: i.OutOfOrderQueue,
	}
	if i.Remote.IsValid() {
		c.Remote = i.Remote.String()
		c.Yours = c.Remote == yours
	}
	return c
}

// layers is all counters, the layers from the card up.
func layers(host *setup.Host) []layer {
	all := []layer{{Name: host.Card.Name}, {Name: "ethernet"}, {Name: "arp"}, {Name: "ipv4"}, {Name: "icmp"}, {Name: "udp"}, {Name: "tcp"}}
	stats := host.Stats()
	for i := range all {
		l := &all[i]
		for full, value := range stats {
			if name, ok := strings.CutPrefix(full, l.Name+"."); ok {
				l.Counters = append(l.Counters, counter{name, value, strings.HasPrefix(name, "Drop")})
			}
		}
		slices.SortFunc(l.Counters, func(a, b counter) int { return strings.Compare(a.Name, b.Name) })
	}
	return all
}
