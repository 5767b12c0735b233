package nbd

import (
	"io"
	"net"
	"testing"
	"time"

	"github.com/seed-012105e5/gonet/storage/block"
)

// Phases at which FuzzServer begins to send its bytes.
const (
	fuzzGreeting = iota
	fuzzOption
	fuzzSimple
	fuzzStructured
	fuzzExtended
	fuzzPhases
)

// fuzzPrefix is what a client has sent when the phase begins, and how much it has
// read then.
func fuzzPrefix(phase int) (sent []byte) {
	if phase == fuzzGreeting {
		return nil
	}
	sent = []byte{0, 0, 0, flagFixedNewstyle | flagNoZeroes}
	switch phase {
	case fuzzOption:
		return sent
	case fuzzStructured:
		sent = appendOption(sent, optStructuredReply, nil)
	case fuzzExtended:
		sent = appendOption(sent, optExtendedHeaders, nil)
	}
	if phase != fuzzSimple {
		sent = appendOption(sent, optSetMetaContext, appendMetaRequest(nil, metaRequest{"a", []string{contextAllocation}}))
	}
	return appendOption(sent, optGo, appendInfoRequest(nil, infoRequest{name: "a"}))
}

// FuzzServer sends bytes to a live server in each phase. Whatever they are, the
// connection ends when they have, another one is served as before, and nothing is
// held.
func FuzzServer(f *testing.F) {
	for phase := range fuzzPhases {
		style := headersSimple
		switch phase {
		case fuzzGreeting:
			f.Add(uint8(phase), []byte{0, 0, 0, 3})
			f.Add(uint8(phase), append(fuzzPrefix(fuzzSimple), appendRequest(nil, request{0, cmdRead, 1, 0, 512}, style)...))
			continue
		case fuzzOption:
			for o := range option(12) {
				f.Add(uint8(phase), appendOption(nil, o, nil))
			}
			f.Add(uint8(phase), appendOption(nil, optInfo, appendInfoRequest(nil, infoRequest{"a", []infoType{infoName, infoDescription, infoBlockSize}})))
			f.Add(uint8(phase), appendOption(nil, optExportName, []byte("a")))
			continue
		case fuzzStructured:
			style = headersStructured
		case fuzzExtended:
			style = headersExtended
		}
		var all []byte
		for cmd := range cmdResize + 2 {
			for _, flags := range []commandFlags{0, cmdFlagFUA, cmdFlagDF, cmdFlagPayloadLen, cmdFlagReqOne | cmdFlagNoHole} {
				r := request{flags, cmd, uint64(cmd), 4096, 64}
				one := append(appendRequest(nil, r, style), make([]byte, r.payload(style))...)
				f.Add(uint8(phase), one)
				if cmd != cmdDisc {
					all = append(all, one...)
				}
			}
		}
		f.Add(uint8(phase), all)
		f.Add(uint8(phase), appendRequest(nil, request{0, cmdRead, 1, 1<<64 - 1, 1<<32 - 1}, style))
		f.Add(uint8(phase), appendRequest(nil, request{cmdFlagPayloadLen, cmdWrite, 1, 0, 1<<32 - 1}, style))
	}
	s := &Server{MaxRequests: 4, MaxMemory: 1 << 20}
	if err := s.Add(Export{Name: "a", Device: block.NewMemory(1 << 20)}); err != nil {
		f.Fatal(err)
	}
	if err := s.Add(Export{Name: "b", Device: block.NewMemory(1 << 20)}); err != nil {
		f.Fatal(err)
	}
	f.Fuzz(func(t *testing.T, phase uint8, data []byte) {
		near, far := net.Pipe()
		done := make(chan struct{})
		go func() { s.ServeConn(far); close(done) }()
		go io.Copy(io.Discard, near)
		near.SetWriteDeadline(time.Now().Add(10 * time.Second))
		if _, err := near.Write(fuzzPrefix(int(phase) % fuzzPhases)); err == nil {
			near.Write(data)
		}
		near.Close()
		select {
		case <-done:
		case <-time.After(10 * time.Second):
			t.Fatal("the server has not ended the connection")
		}
		near, far = net.Pipe()
		go s.ServeConn(far)
		c := &rawClient{t: t, conn: near}
		c.hello(flagFixedNewstyle)
		c.negotiate(styles[int(phase)%3], "b")
		c.alive()
		near.Close()
	})
}
