package nbd

import (
	"net"
	"slices"
	"testing"
	"testing/synctest"

	"github.com/seed-012105e5/gonet/storage/block"
)

// dialHandle is dialRaw for Handle.
func dialHandle(t *testing.T, exports []*Export, options *Options) *rawClient {
	t.Helper()
	near, far := net.Pipe()
	go Handle(far, exports, options)
	t.Cleanup(func() { near.Close() })
	c := &rawClient{t: t, conn: near}
	c.hello(flagFixedNewstyle | flagNoZeroes)
	return c
}

func TestHandleOptions(t *testing.T) {
	for _, c := range []struct {
		options *Options
		export  Export
		want    string
		flags   Flags
		without Flags
	}{
		{nil, Export{}, "INFO size 1048576, INFO 1/4096/33554432, ACK", FlagHasFlags | FlagCanMultiConn, FlagReadOnly},
		{&Options{}, Export{}, "INFO size 1048576, INFO 1/4096/33554432, ACK", FlagHasFlags | FlagSendFlush, FlagCanMultiConn},
		{&Options{ReadOnly: true, SupportsMultiConn: true}, Export{}, "INFO size 1048576, INFO 1/4096/33554432, ACK", FlagReadOnly | FlagCanMultiConn, FlagSendTrim | FlagSendWriteZeroes},
		{&Options{MinimumBlockSize: 512, PreferredBlockSize: 8192, MaximumBlockSize: 1 << 20}, Export{}, "INFO size 1048576, INFO 512/8192/1048576, ACK", 1, 0},
		{&Options{MaximumBlockSize: 1<<32 - 1, MaximumRequestSize: 1 << 16}, Export{}, "INFO size 1048576, INFO 1/4096/65536, ACK", 1, 0},
		{&Options{MinimumBlockSize: 512}, Export{MinimumBlockSize: 1024, PreferredBlockSize: 2048, MaximumRequestSize: 4096}, "INFO size 1048576, INFO 1024/2048/4096, ACK", 1, 0},
		{&Options{MaximumBlockSize: 1024}, Export{}, "INFO size 1048576, INFO 1/1024/1024, ACK", 1, 0},
	} {
		synctest.Test(t, func(t *testing.T) {
			e := c.export
			e.Name, e.Device = "x", block.NewMemory(1<<20)
			raw := dialHandle(t, []*Export{&e}, c.options)
			got := ""
			for i, r := range raw.option(optInfo, appendInfoRequest(nil, infoRequest{"x", []infoType{infoBlockSize}})) {
				if i > 0 {
					got += ", "
				}
				got += r.typ.String() + detail(r.typ, r.data)
			}
			raw.negotiate(headersSimple, "x")
			if got != c.want || !raw.flags.Has(c.flags) || raw.flags&c.without != 0 {
				t.Errorf("%+v: %s with flags %v, want %s", c.options, got, raw.flags, c.want)
			}
		})
	}
	// Clients of several calls cannot tear each other's blocks.
	synctest.Test(t, func(t *testing.T) {
		raw := dialHandle(t, []*Export{{Name: "x", Device: aligned{block.NewMemory(1 << 20)}}}, nil)
		raw.negotiate(headersSimple, "x")
		raw.do(request{0, cmdWrite, 1, 100, 100}, make([]byte, 100), EINVAL)
		raw.do(request{0, cmdWrite, 1, 4096, 4096}, make([]byte, 4096), 0)
	})
	near, far := net.Pipe()
	if err := Handle(far, []*Export{{Name: "x", Device: block.NewMemory(1), MinimumBlockSize: 3}}, nil); err == nil {
		t.Error("a block size of 3 is taken")
	}
	(&rawClient{t: t, conn: near}).ends("a bad export")
}

// TestExportCheck walks what an export may not be.
func TestExportCheck(t *testing.T) {
	status := func(off, length int64, yield func(int64, uint64) bool) error { return nil }
	for name, e := range map[string]Export{
		"no device":        {},
		"minimum 3":        {Device: block.NewMemory(1), MinimumBlockSize: 3},
		"minimum 128K":     {Device: block.NewMemory(1), MinimumBlockSize: 128 << 10},
		"preferred 256":    {Device: block.NewMemory(1), PreferredBlockSize: 256},
		"preferred < min":  {Device: block.NewMemory(1), MinimumBlockSize: 4096, PreferredBlockSize: 512},
		"maximum 33 MiB":   {Device: block.NewMemory(1), MaximumRequestSize: 33 << 20},
		"maximum < pref":   {Device: block.NewMemory(1), PreferredBlockSize: 8192, MaximumRequestSize: 4096},
		"name":             {Device: block.NewMemory(1), Name: string(make([]byte, 5))},
		"long description": {Device: block.NewMemory(1), Description: string(slices.Repeat([]byte("x"), 5000))},
		"context":          {Device: block.NewMemory(1), Contexts: []MetaContext{{Name: "x", Extents: status}}},
		"context twice":    {Device: block.NewMemory(1), Contexts: []MetaContext{{Name: "x:y", Extents: status}, {Name: "x:y", Extents: status}}},
		"allocation":       {Device: block.NewMemory(1), Contexts: []MetaContext{{Name: contextAllocation, Extents: status}}},
	} {
		if err := new(Server).Add(e); err == nil {
			t.Errorf("%s: the export is taken", name)
		}
	}
	s := newServer(t, block.NewMemory(1))
	if err := s.Add(Export{Name: "a", Device: block.NewMemory(1)}); err == nil {
		t.Error("a name can be added twice")
	}
	// What a device cannot do is not offered, and multi-conn only where it is true.
	x, err := serve(Export{Device: &private{block.NewMemory(1)}}, nil)
	if err != nil {
		t.Fatal(err)
	}
	if f := x.flags(headersSimple, false); f&(FlagCanMultiConn|FlagSendTrim|FlagSendCache|FlagSendDF) != 0 || !f.Has(FlagRotational|FlagReadOnly) {
		t.Errorf("flags %v", f)
	}
}

// private is a device with a cache of its own, read-only and rotational.
type private struct{ m *block.Memory }

func (p *private) ReadAt(b []byte, off int64) (int, error)  { return p.m.ReadAt(b, off) }
func (p *private) WriteAt(b []byte, off int64) (int, error) { return p.m.WriteAt(b, off) }
func (p *private) Size() (int64, error)                     { return p.m.Size() }
func (p *private) Sync() error                              { return nil }
func (p *private) MultiConn() bool                          { return false }
func (p *private) ReadOnly() bool                           { return true }
func (p *private) Rotational() bool                         { return true }

// TestGoNBD holds the faults that were seen in go-nbd, one each, against Handle,
// which has its place, and the one of its client against ours.
func TestGoNBD(t *testing.T) {
	for _, c := range []struct {
		name string
		test func(t *testing.T, d *scriptDevice, exports []*Export)
	}{
		{"1: without multi-conn HAS_FLAGS is missing", func(t *testing.T, d *scriptDevice, exports []*Export) {
			c := dialHandle(t, exports, &Options{SupportsMultiConn: false})
			c.negotiate(headersSimple, "a")
			if !c.flags.Has(FlagHasFlags) || c.flags.Has(FlagCanMultiConn) {
				t.Errorf("flags %v", c.flags)
			}
		}},
		{"2: a command without payload is waited for as if it had one", func(t *testing.T, d *scriptDevice, exports []*Export) {
			c := dialHandle(t, exports, nil)
			c.negotiate(headersSimple, "a")
			for _, cmd := range []command{cmdTrim, cmdWriteZeroes, cmdCache} {
				c.do(request{0, cmd, 1, 0, 4096}, nil, 0)
			}
			c.do(request{0, cmdBlockStatus, 1, 0, 4096}, nil, EINVAL)
			c.do(request{0, 50, 1, 0, 4096}, nil, EINVAL)
			c.alive()
		}},
		{"3: LIST gives all exports in one reply", func(t *testing.T, d *scriptDevice, exports []*Export) {
			replies := dialHandle(t, exports, nil).option(optList, nil)
			if len(replies) != 3 || replies[0].typ != repServer || replies[1].typ != repServer || replies[2].typ != repAck {
				t.Errorf("%+v", replies)
			}
		}},
		{"4: GO on an unknown name succeeds after INFO on a known one", func(t *testing.T, d *scriptDevice, exports []*Export) {
			c := dialHandle(t, exports, nil)
			c.want(optInfo, appendInfoRequest(nil, infoRequest{name: "a"}), repAck)
			c.want(optGo, appendInfoRequest(nil, infoRequest{name: "none"}), repErrUnknown)
			c.want(optInfo, appendInfoRequest(nil, infoRequest{name: "b"}), repAck)
		}},
		{"5: a read beyond the end stops all clients of the device", func(t *testing.T, d *scriptDevice, exports []*Export) {
			c, other := dialHandle(t, exports, nil), dialHandle(t, exports, nil)
			c.negotiate(headersSimple, "a")
			other.negotiate(headersSimple, "a")
			for _, offset := range []uint64{1 << 20, 1<<20 - 1, 1 << 40} {
				c.send(request{0, cmdRead, 1, offset, 512}, nil)
				if a := c.receive(0); a.errno != EINVAL {
					t.Errorf("%+v", a)
				}
			}
			c.alive()
			other.alive()
		}},
		{"6: a read of 33 MiB ends the connection", func(t *testing.T, d *scriptDevice, exports []*Export) {
			c := dialHandle(t, exports, nil)
			c.negotiate(headersSimple, "a")
			c.send(request{0, cmdRead, 1, 0, 33 << 20}, nil)
			if a := c.receive(0); a.errno != EINVAL {
				t.Errorf("%+v", a)
			}
			c.alive()
		}},
		{"7: FUA is taken and not honoured", func(t *testing.T, d *scriptDevice, exports []*Export) {
			c := dialHandle(t, exports, nil)
			c.negotiate(headersSimple, "a")
			c.do(request{cmdFlagFUA, cmdWrite, 1, 0, 3}, []byte("abc"), 0)
			c.do(request{cmdFlagFUA, cmdWriteZeroes, 1, 0, 3}, nil, 0)
			c.do(request{cmdFlagFUA, cmdTrim, 1, 0, 65536}, nil, 0)
			if want := []string{"write FUA", "zero FUA", "trim", "sync"}; !c.flags.Has(FlagSendFUA) || !slices.Equal(d.calls, want) {
				t.Errorf("flags %v, calls of the device %v, want %v", c.flags, d.calls, want)
			}
		}},
		{"8: the client's GO has a length of 0 and data behind it", func(t *testing.T, d *scriptDevice, exports []*Export) {
			n := &clientNegotiation{export: "a"}
			for _, out := range [][]byte{n.enter(nil), n.exportName(nil), n.begin(nil), n.send(nil, optAbort, nil)} {
				if h, err := parseOptionHeader(out); err != nil || int(h.length) != len(out)-optionHeaderSize {
					t.Errorf("%v says %d bytes of data and has %d (%v)", h.option, h.length, len(out)-optionHeaderSize, err)
				}
			}
		}},
		{"9: the length of a name is believed, and a range over the end panics", func(t *testing.T, d *scriptDevice, exports []*Export) {
			c := dialHandle(t, exports, nil)
			c.want(optInfo, []byte{255, 255, 255, 255, 'a', 0, 0}, repErrInvalid)
			c.want(optGo, []byte{127, 255, 255, 255, 'a', 0, 0}, repErrInvalid)
			c.negotiate(headersSimple, "a")
			c.do(request{0, cmdWrite, 1, 1<<20 - 1, 2}, []byte("xx"), ENOSPC)
			c.alive()
		}},
	} {
		t.Run(c.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				d := newScript()
				c.test(t, d, []*Export{{Name: "a", Device: d}, {Name: "b", Device: block.NewMemory(1 << 20)}})
			})
		})
	}
}
