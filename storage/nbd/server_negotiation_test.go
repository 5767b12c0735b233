package nbd

import (
	"crypto/tls"
	"fmt"
	"net"
	"strings"
	"testing"
	"testing/synctest"

	"github.com/seed-012105e5/gonet/storage/block"
)

// script runs options through a negotiation and returns what it says to them: the
// types of all replies, and the step where it is not to go on.
func script(n *negotiation, options ...optionWithData) string {
	var said []string
	for _, o := range options {
		out, next := n.option(o.option, o.data, nil)
		line := []string{}
		for len(out) > 0 && o.option != optExportName {
			h, err := parseOptionReply(out)
			if err != nil {
				return err.Error()
			}
			data := out[optionReplySize : optionReplySize+int(h.length)]
			line = append(line, h.typ.String()+detail(h.typ, data))
			out = out[optionReplySize+int(h.length):]
		}
		if o.option == optExportName && len(out) > 0 {
			size, flags, _ := parseExportReply(out)
			line = append(line, fmt.Sprintf("size %d flags %v %d bytes", size, flags, len(out)))
		}
		switch next {
		case stepTLS:
			line = append(line, "tls")
		case stepTransmit:
			line = append(line, "transmit "+n.export.Name)
		case stepEnd:
			line = append(line, "end")
		}
		said = append(said, strings.Join(line, ", "))
	}
	return strings.Join(said, "; ")
}

func detail(t replyType, data []byte) string {
	switch t {
	case repServer:
		name, description, _ := parseServer(data)
		return fmt.Sprintf(" %s=%s", name, description)
	case repMetaContext:
		id, name, _ := parseMetaContext(data)
		return fmt.Sprintf(" %d=%s", id, name)
	case repInfo:
		i, _ := parseInfo(data)
		switch i.typ {
		case infoExport:
			return fmt.Sprintf(" size %d", i.size)
		case infoName, infoDescription:
			return " " + i.text
		case infoBlockSize:
			return fmt.Sprintf(" %d/%d/%d", i.minimum, i.preferred, i.maximum)
		}
	}
	return ""
}

type optionWithData struct {
	option option
	data   []byte
}

func opt(o option, data ...byte) optionWithData { return optionWithData{o, data} }

func optInfoOf(o option, name string, infos ...infoType) optionWithData {
	return optionWithData{o, appendInfoRequest(nil, infoRequest{name, infos})}
}

func optMetaOf(o option, name string, queries ...string) optionWithData {
	return optionWithData{o, appendMetaRequest(nil, metaRequest{name, queries})}
}

func TestNegotiation(t *testing.T) {
	server := func(exports ...Export) *Server {
		s := &Server{}
		for _, e := range exports {
			if e.Device == nil {
				e.Device = block.NewMemory(1 << 20)
			}
			if err := s.Add(e); err != nil {
				t.Fatal(err)
			}
		}
		return s
	}
	age := MetaContext{Name: "x-test:age", Extents: func(off, length int64, yield func(int64, uint64) bool) error { return nil }}
	wide := MetaContext{Name: "x-test:wide", Wide: true, Extents: age.Extents}
	two := server(Export{Name: "a", Description: "first"}, Export{Name: "b", MinimumBlockSize: 512, MaximumRequestSize: 1 << 20})
	one := server(Export{Name: "only", Contexts: []MetaContext{age, wide}})
	secret := server(Export{Name: "open"}, Export{Name: "secret", TLSOnly: true},
		Export{Name: "mine", Visible: func(state *tls.ConnectionState) bool { return state != nil && state.ServerName == "me" }})
	closed := server(Export{Name: "a"})
	closed.Close()
	me, other := &tls.ConnectionState{ServerName: "me"}, &tls.ConnectionState{}

	for _, c := range []struct {
		name    string
		n       negotiation
		options []optionWithData
		want    string
	}{
		{"list", negotiation{exports: two}, []optionWithData{opt(optList)}, "SERVER a=first, SERVER b=, ACK"},
		{"list with data", negotiation{exports: two}, []optionWithData{opt(optList, 1)}, "ERR_INVALID"},
		{"list forbidden", negotiation{exports: two, noList: true}, []optionWithData{opt(optList)}, "ERR_POLICY"},
		{"abort", negotiation{exports: two}, []optionWithData{opt(optAbort)}, "ACK, end"},
		{"abort with data", negotiation{exports: two}, []optionWithData{opt(optAbort, 1)}, "ACK, end"},
		{"unknown options", negotiation{exports: two}, []optionWithData{opt(4), opt(99, 1, 2)}, "ERR_UNSUP; ERR_UNSUP"},
		{"info, only what is asked", negotiation{exports: two}, []optionWithData{
			optInfoOf(optInfo, "a"), optInfoOf(optInfo, "a", infoName), optInfoOf(optInfo, "a", infoDescription, infoBlockSize, 77), optInfoOf(optInfo, "b", infoDescription, infoBlockSize)},
			"INFO size 1048576, ACK; INFO size 1048576, INFO a, ACK; INFO size 1048576, INFO first, INFO 1/4096/33554432, ACK; INFO size 1048576, INFO 512/4096/1048576, ACK"},
		{"info asked twice", negotiation{exports: two}, []optionWithData{optInfoOf(optInfo, "a", infoName, infoName)}, "INFO size 1048576, INFO a, ACK"},
		{"go", negotiation{exports: two}, []optionWithData{optInfoOf(optGo, "b")}, "INFO size 1048576, ACK, transmit b"},
		{"go malformed", negotiation{exports: two}, []optionWithData{opt(optGo), opt(optInfo, 0, 0, 0, 9, 1)}, "ERR_INVALID; ERR_INVALID"},
		{"go after info of another", negotiation{exports: two}, []optionWithData{optInfoOf(optInfo, "a"), optInfoOf(optGo, "none")}, "INFO size 1048576, ACK; ERR_UNKNOWN"},
		{"default of two", negotiation{exports: two}, []optionWithData{optInfoOf(optGo, "")}, "ERR_UNKNOWN"},
		{"default of one", negotiation{exports: one}, []optionWithData{optInfoOf(optGo, "", infoName)}, "INFO size 1048576, INFO only, ACK, transmit only"},
		{"export name", negotiation{exports: two}, []optionWithData{opt(optExportName, 'a')},
			"size 1048576 flags HAS_FLAGS|SEND_FLUSH|SEND_FUA|SEND_TRIM|SEND_WRITE_ZEROES|CAN_MULTI_CONN|SEND_FAST_ZERO 134 bytes, transmit a"},
		{"export name without zeroes", negotiation{exports: two, noZeroes: true}, []optionWithData{opt(optStructuredReply), opt(optExportName, 'a')},
			"ACK; size 1048576 flags HAS_FLAGS|SEND_FLUSH|SEND_FUA|SEND_TRIM|SEND_WRITE_ZEROES|SEND_DF|CAN_MULTI_CONN|SEND_FAST_ZERO 10 bytes, transmit a"},
		{"export name unknown", negotiation{exports: two}, []optionWithData{opt(optExportName, 'x')}, "end"},
		{"export name with extended headers", negotiation{exports: two}, []optionWithData{opt(optExtendedHeaders), opt(optExportName, 'a')}, "ACK; end"},
		{"structured", negotiation{exports: two}, []optionWithData{opt(optStructuredReply, 1), opt(optStructuredReply)}, "ERR_INVALID; ACK"},
		{"extended", negotiation{exports: two}, []optionWithData{opt(optExtendedHeaders, 1), opt(optExtendedHeaders), opt(optStructuredReply)}, "ERR_INVALID; ACK; ERR_EXT_HEADER_REQD"},
		{"contexts without structured replies", negotiation{exports: one}, []optionWithData{optMetaOf(optListMetaContext, "only"), optMetaOf(optSetMetaContext, "only", "base:allocation")}, "ERR_INVALID; ERR_INVALID"},
		{"contexts", negotiation{exports: one, style: headersStructured}, []optionWithData{
			optMetaOf(optListMetaContext, "only"), optMetaOf(optListMetaContext, "only", "base:"), optMetaOf(optListMetaContext, "only", "x-test:", "other:q"),
			optMetaOf(optSetMetaContext, "only"), optMetaOf(optSetMetaContext, "only", "base:"), optMetaOf(optSetMetaContext, "only", "base:none", "x-test:wide", "x-test:age"),
			optMetaOf(optSetMetaContext, "only", "x-test:age", "base:allocation")},
			"META_CONTEXT 0=base:allocation, META_CONTEXT 0=x-test:age, ACK; META_CONTEXT 0=base:allocation, ACK; META_CONTEXT 0=x-test:age, ACK; " +
				"ACK; ACK; META_CONTEXT 2=x-test:age, ACK; META_CONTEXT 1=base:allocation, META_CONTEXT 2=x-test:age, ACK"},
		{"wide contexts", negotiation{exports: one, style: headersExtended}, []optionWithData{optMetaOf(optSetMetaContext, "", "x-test:wide")}, "META_CONTEXT 3=x-test:wide, ACK"},
		{"contexts of no export", negotiation{exports: one, style: headersStructured}, []optionWithData{optMetaOf(optListMetaContext, "none"), optMetaOf(optSetMetaContext, "none", "base:allocation")}, "ERR_UNKNOWN; ERR_UNKNOWN"},
		{"contexts malformed", negotiation{exports: one, style: headersStructured}, []optionWithData{
			opt(optSetMetaContext), optMetaOf(optSetMetaContext, "only", "allocation"), opt(optListMetaContext, 0, 0, 0, 0, 255, 255, 255, 255),
			optMetaOf(optListMetaContext, "only", strings.Repeat("q", 5000))}, "ERR_INVALID; ERR_INVALID; ERR_INVALID; ERR_TOO_BIG"},
		{"STARTTLS off", negotiation{exports: two}, []optionWithData{opt(optStartTLS)}, "ERR_POLICY"},
		{"STARTTLS", negotiation{exports: two, mode: TLSAllowed}, []optionWithData{opt(optStartTLS, 1), opt(optStartTLS)}, "ERR_INVALID; ACK, tls"},
		{"STARTTLS twice", negotiation{exports: two, mode: TLSRequired, state: me}, []optionWithData{opt(optStartTLS), opt(optList)}, "ERR_INVALID; SERVER a=first, SERVER b=, ACK"},
		{"TLS required", negotiation{exports: two, mode: TLSRequired}, []optionWithData{
			opt(optList), optInfoOf(optInfo, "a"), optInfoOf(optGo, "a"), opt(optStructuredReply), opt(optExtendedHeaders), opt(99), optMetaOf(optListMetaContext, "a"), opt(optAbort)},
			"ERR_TLS_REQD; ERR_TLS_REQD; ERR_TLS_REQD; ERR_TLS_REQD; ERR_TLS_REQD; ERR_TLS_REQD; ERR_TLS_REQD; ACK, end"},
		{"TLS required, export name", negotiation{exports: two, mode: TLSRequired}, []optionWithData{opt(optExportName, 'a')}, "end"},
		{"secrets in the clear", negotiation{exports: secret, mode: TLSAllowed}, []optionWithData{
			opt(optList), optInfoOf(optInfo, "secret"), optInfoOf(optGo, "mine"), optInfoOf(optGo, "none"), optInfoOf(optGo, "open")},
			"SERVER open=, ACK; ERR_TLS_REQD; ERR_TLS_REQD; ERR_TLS_REQD; INFO size 1048576, ACK, transmit open"},
		{"secrets, export name", negotiation{exports: secret, mode: TLSAllowed}, []optionWithData{opt(optExportName, []byte("secret")...)}, "end"},
		{"secrets by TLS", negotiation{exports: secret, mode: TLSAllowed, state: other}, []optionWithData{opt(optList), optInfoOf(optInfo, "mine"), optInfoOf(optGo, "secret")},
			"SERVER open=, SERVER secret=, ACK; ERR_UNKNOWN; INFO size 1048576, ACK, transmit secret"},
		{"secrets by certificate", negotiation{exports: secret, mode: TLSAllowed, state: me}, []optionWithData{opt(optList), optInfoOf(optGo, "mine")},
			"SERVER mine=, SERVER open=, SERVER secret=, ACK; INFO size 1048576, ACK, transmit mine"},
		{"closing", negotiation{exports: closed}, []optionWithData{opt(optList), optInfoOf(optGo, "a"), opt(optStartTLS), opt(99), opt(optAbort)},
			"ERR_SHUTDOWN; ERR_SHUTDOWN; ERR_SHUTDOWN; ERR_SHUTDOWN; ACK, end"},
		{"closing, export name", negotiation{exports: closed}, []optionWithData{opt(optExportName, 'a')}, "end"},
	} {
		c.n.fixed = true
		if got := script(&c.n, c.options...); got != c.want {
			t.Errorf("%s:\n got %s\nwant %s", c.name, got, c.want)
		}
	}

	plain := negotiation{exports: two}
	if got := script(&plain, opt(optList)); got != "end" {
		t.Errorf("newstyle that is not fixed, LIST: %s", got)
	}
	if got := script(&plain, opt(optExportName, 'a')); !strings.HasSuffix(got, "transmit a") {
		t.Errorf("newstyle that is not fixed, EXPORT_NAME: %s", got)
	}
}

// TestNegotiationState walks what an option must change or leave for later ones.
func TestNegotiationState(t *testing.T) {
	s := newServer(t, block.NewMemory(1<<20), block.NewMemory(1<<20))
	n := negotiation{exports: s, fixed: true, mode: TLSAllowed}
	script(&n, opt(optExtendedHeaders), optMetaOf(optSetMetaContext, "a", contextAllocation))
	if len(n.selected) != 1 || n.style != headersExtended {
		t.Fatalf("%+v", n)
	}
	n.startedTLS(&tls.ConnectionState{})
	if len(n.selected) != 0 || n.style != headersSimple {
		t.Errorf("what was negotiated in the clear is kept: %+v", n)
	}
	for _, c := range []struct {
		name   string
		second optionWithData
		want   int
	}{
		{"the same export", optInfoOf(optInfo, "a"), 1},
		{"another context request that fails", optMetaOf(optSetMetaContext, "none", contextAllocation), 0},
		{"one that is malformed", opt(optSetMetaContext), 0},
		{"one for another export", optMetaOf(optSetMetaContext, "b", contextAllocation), 0},
		{"a list", optMetaOf(optListMetaContext, "b"), 1},
	} {
		n := negotiation{exports: s, fixed: true}
		script(&n, opt(optStructuredReply), optMetaOf(optSetMetaContext, "a", contextAllocation), c.second, optInfoOf(optGo, "a"))
		if len(n.selected) != c.want {
			t.Errorf("%s: %d contexts are selected, want %d", c.name, len(n.selected), c.want)
		}
	}
	n = negotiation{exports: s, fixed: true}
	script(&n, opt(optStructuredReply), optMetaOf(optSetMetaContext, "a", contextAllocation))
	n.tooBig(optSetMetaContext, nil)
	if len(n.selected) != 0 {
		t.Error("a SET_META_CONTEXT that is too big leaves the contexts of the last one")
	}
}

func TestNegotiationClientFlags(t *testing.T) {
	for _, c := range []struct {
		flags uint32
		want  step
	}{{0, stepOption}, {1, stepOption}, {3, stepOption}, {4, stepEnd}, {1 << 31, stepEnd}} {
		n := negotiation{}
		if got := n.clientFlags(c.flags); got != c.want {
			t.Errorf("client flags %#x: step %d, want %d", c.flags, got, c.want)
		}
	}
}

// TestHandshakeConn runs what only the process around the negotiation does.
func TestHandshakeConn(t *testing.T) {
	for name, test := range map[string]func(t *testing.T, s *Server){
		"an option of 1 MiB is skipped": func(t *testing.T, s *Server) {
			c := dialRaw(t, s)
			c.want(optInfo, make([]byte, 1<<20), repErrTooBig)
			c.want(optList, nil, repAck)
		},
		"an option of 4 GiB ends the connection": func(t *testing.T, s *Server) {
			c := dialRaw(t, s)
			c.write(appendOptionHeader(nil, optionHeader{optInfo, 1<<32 - 1}))
			c.ends("4 GiB")
		},
		"a wrong magic number ends the connection": func(t *testing.T, s *Server) {
			c := dialRaw(t, s)
			c.write(make([]byte, optionHeaderSize))
			c.ends("magic")
		},
		"unknown client flags end the connection": func(t *testing.T, s *Server) {
			near, far := net.Pipe()
			go s.ServeConn(far)
			c := &rawClient{t: t, conn: near}
			c.hello(1 << 3)
			c.ends("flags")
		},
		"ABORT": func(t *testing.T, s *Server) {
			c := dialRaw(t, s)
			c.want(optAbort, nil, repAck)
			c.ends("ABORT")
		},
		"EXPORT_NAME": func(t *testing.T, s *Server) {
			c := dialRaw(t, s)
			c.write(appendOption(nil, optExportName, []byte("a")))
			size, flags, err := parseExportReply(c.read(exportReplySize))
			if err != nil || size != 1<<20 || !flags.Has(FlagHasFlags) {
				t.Errorf("size %d, flags %v, %v", size, flags, err)
			}
			c.alive()
		},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				s := newServer(t, block.NewMemory(1<<20))
				defer s.Close()
				test(t, s)
			})
		})
	}
}
