package compat

import (
	"fmt"
	"net"
	"regexp"
	"strconv"
	"strings"
	"testing"

	"github.com/miekg/dns"
	"github.com/tidwall/redcon"
	"github.com/valyala/fasthttp"
)

// TestFastHTTP has fasthttp serve curl and wrk.
func TestFastHTTP(t *testing.T) {
	h := newHost(t)
	l := h.listen(t, ours+":80")
	body := strings.Repeat("x", 300_000)
	server := &fasthttp.Server{Handler: func(ctx *fasthttp.RequestCtx) {
		if string(ctx.Path()) == "/long" {
			ctx.WriteString(body)
			return
		}
		ctx.Write(ctx.Request.Body())
	}}
	go server.Serve(l)
	if out := h.output(t, "curl", "-sS", "http://"+ours+"/long"); out != body {
		t.Errorf("%d bytes, want %d", len(out), len(body))
	}
	if out := h.output(t, "curl", "-sS", "-d", "what is posted", "http://"+ours+"/"); out != "what is posted" {
		t.Errorf("%q", out)
	}
	out := h.output(t, "wrk", "-t2", "-c50", "-d1s", "http://"+ours+"/")
	if !regexp.MustCompile(`Requests/sec: +[1-9]`).MatchString(out) || strings.Contains(out, "Socket errors") || strings.Contains(out, "Non-2xx") {
		t.Errorf("wrk:\n%s", out)
	}
	must(t, server.Shutdown())
}

// TestRedcon has redcon serve redis-benchmark, with pipelining and without.
func TestRedcon(t *testing.T) {
	h := newHost(t)
	l := h.listen(t, ours+":6379")
	server := redcon.NewServer("", func(conn redcon.Conn, cmd redcon.Command) {
		switch strings.ToLower(string(cmd.Args[0])) {
		case "ping":
			conn.WriteString("PONG")
		case "set":
			conn.WriteString("OK")
		case "get":
			conn.WriteBulk(make([]byte, 1000))
		default:
			conn.WriteError("ERR unknown command")
		}
	}, nil, nil)
	go server.Serve(l)
	for _, pipeline := range []string{"1", "32"} {
		out := h.output(t, "redis-benchmark", "-h", ours, "-t", "set,get", "-n", "20000", "-c", "20", "-P", pipeline, "-d", "1000", "--csv")
		for _, test := range []string{"SET", "GET"} {
			m := regexp.MustCompile(`"` + test + `","([0-9.]+)"`).FindStringSubmatch(out)
			if m == nil {
				t.Fatalf("no result of %s in\n%s", test, out)
			}
			if rate, _ := strconv.ParseFloat(m[1], 64); rate < 100 {
				t.Errorf("%s with a pipeline of %s: %v a second", test, pipeline, rate)
			}
		}
	}
	server.Close()
}

// TestDNS has miekg/dns serve dig over UDP and TCP, with an answer that is cut off over
// UDP, and has it ask over the stack.
func TestDNS(t *testing.T) {
	h := newHost(t)
	packets, err := h.ListenPacket("udp", ours+":53")
	must(t, err)
	streams := h.listen(t, ours+":53")
	answer := func(w dns.ResponseWriter, q *dns.Msg) {
		m := new(dns.Msg).SetReply(q)
		n := 1
		if strings.HasPrefix(q.Question[0].Name, "many.") {
			n = 200
		}
		for i := range n {
			a, _ := dns.NewRR(fmt.Sprintf("%s 60 IN A 192.0.2.%d", q.Question[0].Name, i))
			m.Answer = append(m.Answer, a)
		}
		if w.RemoteAddr().Network() == "udp" {
			m.Truncate(dns.MinMsgSize)
		}
		w.WriteMsg(m)
	}
	for _, s := range []*dns.Server{{PacketConn: packets, Handler: dns.HandlerFunc(answer)}, {Listener: streams, Handler: dns.HandlerFunc(answer)}} {
		go s.ActivateAndServe()
		t.Cleanup(func() { s.Shutdown() })
	}
	for _, c := range []struct {
		args string
		want int
	}{{"one.example", 1}, {"+tcp one.example", 1}, {"many.example", 200}} { // many: cut off, and asked for again over TCP
		out := h.output(t, "dig", append([]string{"@" + ours, "+short", "+tries=3", "+time=2"}, strings.Fields(c.args)...)...)
		if n := strings.Count(out, "192.0.2."); n != c.want {
			t.Errorf("dig %s: %d answers, want %d:\n%s", c.args, n, c.want, out)
		}
	}
	kernelPackets := h.packetsKernel(t, kernel+":53")
	server := &dns.Server{PacketConn: kernelPackets, Handler: dns.HandlerFunc(answer)}
	go server.ActivateAndServe()
	t.Cleanup(func() { server.Shutdown() })
	c, err := h.Dial("udp", net.JoinHostPort(kernel, "53"))
	must(t, err)
	defer c.Close()
	client := new(dns.Client)
	reply, _, err := client.ExchangeWithConn(new(dns.Msg).SetQuestion("one.example.", dns.TypeA), &dns.Conn{Conn: c})
	if err != nil || len(reply.Answer) != 1 {
		t.Errorf("%v, %v", reply, err)
	}
}
