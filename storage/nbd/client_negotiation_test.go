package nbd

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/seed-012105e5/gonet/storage/block"
)

// TestClientNegotiation walks the options that a client sends, by what a server
// answers. A script has a word for each reply; what is expected are the options and how
// it ends.
func TestClientNegotiation(t *testing.T) {
	replyOf := func(n *clientNegotiation, word string) (optionReply, []byte) {
		r := optionReply{option: n.option, typ: repAck}
		var data []byte
		switch word {
		case "ack":
		case "export":
			r.typ, data = repInfo, appendInfo(nil, info{typ: infoExport, size: 4096, flags: FlagHasFlags})
		case "blocks":
			r.typ, data = repInfo, appendInfo(nil, info{typ: infoBlockSize, minimum: 512, preferred: 4096, maximum: 65536})
		case "unknown-info":
			r.typ, data = repInfo, []byte{0, 99, 1, 2, 3}
		case "context":
			r.typ, data = repMetaContext, appendMetaContext(nil, 5, contextAllocation)
		case "other-context":
			r.typ, data = repMetaContext, appendMetaContext(nil, 6, "x:y")
		case "server":
			r.typ, data = repServer, appendServer(nil, fmt.Sprint("e", len(n.listed)), "")
		case "unsup":
			r.typ = repErrUnsup
		case "policy":
			r.typ = repErrPolicy
		case "unknown":
			r.typ = repErrUnknown
		case "tls":
			r.typ = repErrTLSRequired
		case "shutdown":
			r.typ = repErrShutdown
		}
		return r, data
	}
	for _, c := range []struct {
		name   string
		n      clientNegotiation
		flags  uint16
		script string
		want   string
	}{
		{"all", clientNegotiation{most: headersExtended, contexts: []string{contextAllocation}}, 3, "ack context ack export blocks ack",
			"EXTENDED_HEADERS SET_META_CONTEXT GO done"},
		{"structured only", clientNegotiation{most: headersExtended, contexts: []string{contextAllocation}}, 3, "unsup ack context ack export ack",
			"EXTENDED_HEADERS STRUCTURED_REPLY SET_META_CONTEXT GO done"},
		{"simple only", clientNegotiation{most: headersExtended, contexts: []string{contextAllocation}}, 3, "unsup unsup export ack",
			"EXTENDED_HEADERS STRUCTURED_REPLY GO done"},
		{"no contexts", clientNegotiation{most: headersStructured, contexts: []string{contextAllocation}}, 3, "ack unsup export ack",
			"STRUCTURED_REPLY SET_META_CONTEXT GO done"},
		{"no context chosen", clientNegotiation{most: headersStructured, contexts: []string{contextAllocation}}, 3, "ack ack export ack",
			"STRUCTURED_REPLY SET_META_CONTEXT GO done"},
		{"another context", clientNegotiation{most: headersStructured, contexts: []string{contextAllocation}}, 3, "ack other-context",
			"STRUCTURED_REPLY SET_META_CONTEXT fails"},
		{"a context twice", clientNegotiation{most: headersStructured, contexts: []string{contextAllocation}}, 3, "ack context context",
			"STRUCTURED_REPLY SET_META_CONTEXT fails"},
		{"no export for contexts", clientNegotiation{most: headersStructured, contexts: []string{contextAllocation}}, 3, "ack unknown",
			"STRUCTURED_REPLY SET_META_CONTEXT fails"},
		{"no GO", clientNegotiation{}, 3, "unsup", "GO EXPORT_NAME export"},
		{"no GO, structured", clientNegotiation{most: headersStructured}, 3, "ack unsup", "STRUCTURED_REPLY GO EXPORT_NAME export"},
		{"no GO, extended", clientNegotiation{most: headersExtended}, 3, "ack unsup", "EXTENDED_HEADERS GO fails"},
		{"not fixed", clientNegotiation{most: headersExtended}, 0, "", "EXPORT_NAME export"},
		{"not fixed, TLS", clientNegotiation{tls: true}, 0, "", "fails"},
		{"not fixed, list", clientNegotiation{list: true}, 0, "", "fails"},
		{"unknown infos", clientNegotiation{}, 3, "unknown-info export unknown-info ack", "GO done"},
		{"unknown export", clientNegotiation{}, 3, "unknown", "GO fails"},
		{"TLS wanted", clientNegotiation{most: headersExtended}, 3, "tls", "EXTENDED_HEADERS fails"},
		{"TLS", clientNegotiation{tls: true}, 3, "ack export ack", "STARTTLS tls GO done"},
		{"TLS refused", clientNegotiation{tls: true}, 3, "policy", "STARTTLS fails"},
		{"shutting down", clientNegotiation{most: headersExtended}, 3, "shutdown", "EXTENDED_HEADERS fails"},
		{"list", clientNegotiation{list: true, most: headersStructured}, 3, "ack server server ack export ack other-context context ack unknown",
			"STRUCTURED_REPLY LIST INFO LIST_META_CONTEXT INFO ABORT done"},
		{"list, simple", clientNegotiation{list: true}, 3, "server ack unsup", "LIST INFO ABORT done"},
		{"list, one with TLS", clientNegotiation{list: true}, 3, "server server ack tls export ack", "LIST INFO INFO ABORT done"},
		{"list of nothing", clientNegotiation{list: true}, 3, "ack", "LIST ABORT done"},
		{"list refused", clientNegotiation{list: true}, 3, "policy", "LIST fails"},
	} {
		var got []string
		n := &c.n
		n.export = "e"
		out, step, err := n.greeting(appendGreeting(nil, c.flags))
		sent := func(out []byte) {
			if len(out) > 0 {
				if h, err := parseOptionHeader(out); err != nil || int(h.length) != len(out)-optionHeaderSize {
					t.Errorf("%s: an option %x: %v", c.name, out, err)
				} else {
					got = append(got, h.option.String())
				}
			}
		}
		if err == nil {
			if string(out[:4]) != string([]byte{0, 0, 0, byte(c.flags)}) {
				t.Errorf("%s: client flags %x", c.name, out[:4])
			}
			sent(out[4:])
		}
		for _, word := range strings.Fields(c.script) {
			if err != nil || step != clientReply {
				t.Errorf("%s: %q has no place", c.name, word)
				break
			}
			r, data := replyOf(n, word)
			out, step, err = n.reply(r, data)
			sent(out)
			if step == clientTLS {
				got = append(got, "tls")
				sent(n.startedTLS())
				step = clientReply
			}
		}
		switch {
		case err != nil:
			got = append(got, "fails")
		case step == clientDone:
			got = append(got, "done")
		case step == clientExport:
			got = append(got, "export")
			if err := n.exportReply(appendExportReply(nil, 4096, FlagHasFlags|FlagReadOnly, false)); err != nil || n.info.Size != 4096 || !n.info.Flags.Has(FlagReadOnly) {
				t.Errorf("%s: %+v, %v", c.name, n.info, err)
			}
		}
		if s := strings.Join(got, " "); s != c.want {
			t.Errorf("%s: %s (%v), want %s", c.name, s, err, c.want)
		}
	}
	// Flags of an export that has not HAS_FLAGS mean nothing.
	n := &clientNegotiation{}
	if err := n.exportReply(appendExportReply(nil, 1, FlagReadOnly|FlagSendTrim, false)); err != nil || n.info.Flags != 0 {
		t.Errorf("%v, %v", n.info.Flags, err)
	}
}

func TestClientURI(t *testing.T) {
	for uri, want := range map[string]target{
		"nbd://host":                      {network: "tcp", address: "host:10809", serverName: "host"},
		"nbd://host:99/a/b":               {network: "tcp", address: "host:99", serverName: "host", export: "a/b"},
		"nbd://host//a":                   {network: "tcp", address: "host:10809", serverName: "host", export: "/a"},
		"nbd://[2001:db8::1]:99/a%20b":    {network: "tcp", address: "[2001:db8::1]:99", serverName: "2001:db8::1", export: "a b"},
		"nbd:///a":                        {network: "tcp", address: "localhost:10809", serverName: "localhost", export: "a"},
		"nbds://host/?tls-hostname=other": {network: "tcp", address: "host:10809", serverName: "other", tls: true},
		"nbd+unix:///a?socket=/tmp/s":     {network: "unix", address: "/tmp/s", serverName: "localhost", export: "a"},
		"nbds+unix:///?socket=/tmp/s&tls-certificates=/c&x=y": {network: "unix", address: "/tmp/s", serverName: "localhost", tls: true,
			certificates: "/c"},
	} {
		if got, err := parseURI(uri); got != want || err != nil {
			t.Errorf("%s: %+v, %v, want %+v", uri, got, err, want)
		}
	}
	for _, uri := range []string{"", "host", "nbd:host", "http://host", "nbd+vsock://1", "nbd+unix:///a", "nbd+unix://host/a?socket=s", "nbd://host?socket=s",
		"nbd://host/%00", "nbd://host/%ff", "nbd://host/?a;b", "nbd://host:port/", "nbd://host/" + strings.Repeat("x", 4097)} {
		if got, err := parseURI(uri); err == nil {
			t.Errorf("%q is taken as %+v", uri, got)
		}
	}
}

// TestClientTLS has each mode of our server meet clients with and without TLS.
func TestClientTLS(t *testing.T) {
	for _, c := range []struct {
		mode      TLSMode
		uri       string
		name      string
		connected bool
	}{
		{TLSOff, "nbd://server/a", "server", true},
		{TLSOff, "nbds://server/a", "server", false},
		{TLSAllowed, "nbd://server/a", "server", true},
		{TLSAllowed, "nbds://server/a", "server", true},
		{TLSRequired, "nbd://server/a", "server", false},
		{TLSRequired, "nbds://server/a", "server", true},
		{TLSRequired, "nbds://other/a", "server", false}, // not the name in the certificate
	} {
		synctest.Test(t, func(t *testing.T) {
			a := newAuthority(t)
			s := newServer(t, block.NewMemory(1<<20))
			s.TLSMode = c.mode
			s.TLS = &tls.Config{Certificates: []tls.Certificate{a.issue(t, c.name)}}
			p := &pipes{server: s}
			d := Dialer{DialContext: p.dial, TLS: &tls.Config{RootCAs: a.pool}, Connections: 2}
			client, err := d.Dial(context.Background(), c.uri)
			if (err == nil) != c.connected {
				t.Errorf("mode %d, %s: %v", c.mode, c.uri, err)
			}
			if err == nil {
				if _, err := client.WriteAt([]byte("abc"), 0); err != nil {
					t.Error(err)
				}
				client.Close()
			}
			time.Sleep(time.Hour)
		})
	}
	// What comes in the clear behind the consent to TLS is not believed.
	synctest.Test(t, func(t *testing.T) {
		near, far := net.Pipe()
		go serveHostile(far, append(appendOptionReply(appendGreeting(nil, 3), optStartTLS, repAck, nil), 1, 2, 3))
		if _, err := (&Dialer{TLS: &tls.Config{ServerName: "x"}}).NewClient(context.Background(), "a", near); !errors.Is(err, errInjected) {
			t.Error(err)
		}
		time.Sleep(time.Second)
	})
}

// TestClientList lists what a server of ours exports.
func TestClientList(t *testing.T) {
	for style, d := range clientDialers {
		synctest.Test(t, func(t *testing.T) {
			s := newServer(t, block.NewMemory(1<<20), block.NewMemory(5))
			if err := s.Add(Export{Name: "c", Description: "words", Device: block.NewMemory(4096), MinimumBlockSize: 512, ReadOnly: true}); err != nil {
				t.Fatal(err)
			}
			d.DialContext = (&pipes{server: s}).dial
			list, err := d.List(context.Background(), "nbd://server")
			if err != nil || len(list) != 3 {
				t.Fatalf("%+v, %v", list, err)
			}
			for i, want := range []ExportInfo{{Name: "a", Size: 1 << 20, MinimumBlockSize: 1}, {Name: "b", Size: 5, MinimumBlockSize: 1}, {Name: "c", Description: "words", Size: 4096, MinimumBlockSize: 512}} {
				e := list[i]
				if e.Name != want.Name || e.Description != want.Description || e.Size != want.Size || e.MinimumBlockSize != want.MinimumBlockSize || e.Flags.Has(FlagReadOnly) != (i == 2) || len(e.Contexts) != min(style, 1) {
					t.Errorf("headers %d: %+v, want %+v", style, e, want)
				}
			}
			time.Sleep(time.Hour)
		})
	}
}

// TestClientExportName reads from servers that know no GO: some send 124 zeroes behind
// the size, and some no replies to options at all.
func TestClientExportName(t *testing.T) {
	for _, flags := range []uint16{0, flagNoZeroes, flagFixedNewstyle, flagFixedNewstyle | flagNoZeroes} {
		synctest.Test(t, func(t *testing.T) {
			script := appendGreeting(nil, flags)
			if flags&flagFixedNewstyle != 0 {
				script = appendOptionReply(script, optGo, repErrUnsup, nil)
			}
			script = appendExportReply(script, 4096, FlagHasFlags|FlagReadOnly, flags&flagNoZeroes == 0)
			near, far := net.Pipe()
			go serveHostile(far, script, append(appendSimpleReply(nil, simpleReply{0, firstCookie}), "12345"...))
			c, err := (&Dialer{Simple: true}).NewClient(context.Background(), "a", near)
			if err != nil {
				t.Fatalf("flags %d: %v", flags, err)
			}
			p := make([]byte, 5)
			if _, err := c.ReadAt(p, 0); err != nil || string(p) != "12345" {
				t.Errorf("flags %d: %q, %v", flags, p, err)
			}
			if size, err := c.Size(); size != 4096 && err == nil || !c.ReadOnly() {
				t.Errorf("flags %d: %d bytes, %v", flags, size, err)
			}
			if _, err := c.WriteAt(p, 0); !errors.Is(err, block.ErrReadOnly) && !errors.Is(err, ErrConnectionLost) {
				t.Errorf("flags %d: a write: %v", flags, err)
			}
			c.Close()
			time.Sleep(time.Second)
		})
	}
	// There is no such export: the server can but close.
	synctest.Test(t, func(t *testing.T) {
		near, far := net.Pipe()
		go serveHostile(far, appendGreeting(nil, 0))
		if _, err := (&Dialer{}).NewClient(context.Background(), "none", near); err == nil || !strings.Contains(err.Error(), "no such export") {
			t.Error(err)
		}
		time.Sleep(time.Second)
	})
}
