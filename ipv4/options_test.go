package ipv4

import (
	"bytes"
	"testing"
	"time"
)

// RFC1122-3.2.1.8-2, RFC1122-3.2.1.8-3: what options say, and where
// malformed ones are wrong.
func TestParseOptions(t *testing.T) {
	for _, c := range []struct {
		name    string
		options []byte
		bad     int // 0 for good ones
		want    Options
	}{
		{"none", nil, 0, Options{}},
		{"end", []byte{0, 7, 7, 7}, 0, Options{}},
		{"no operation", []byte{1, 1, 1, 1}, 0, Options{}},
		{"unknown is ignored", []byte{0x99, 4, 1, 2}, 0, Options{}},
		{"stream identifier is ignored", []byte{136, 4, 1, 2}, 0, Options{}},
		{"router alert", []byte{1, 148, 4, 0, 0, 0, 0, 0}, 0, Options{RouterAlert: true}},
		{"record route", []byte{7, 7, 4, 0, 0, 0, 0, 0}, 0, Options{RecordRoute: []byte{7, 7, 4, 0, 0, 0, 0}}},
		{"loose route", []byte{131, 7, 4, 1, 2, 3, 4, 0}, 0, Options{SourceRoute: []byte{131, 7, 4, 1, 2, 3, 4}}},
		{"strict route", []byte{137, 3, 4, 0}, 0, Options{SourceRoute: []byte{137, 3, 4}}},
		{"timestamp", []byte{68, 8, 5, 0, 0, 0, 0, 0}, 0, Options{Timestamp: []byte{68, 8, 5, 0, 0, 0, 0, 0}}},

		{"type only", []byte{1, 1, 1, 7}, 23, Options{}},
		{"length 0", []byte{1, 7, 0, 0}, 22, Options{}},
		{"length 1", []byte{7, 1, 0, 0}, 21, Options{}},
		{"too long", []byte{0x99, 5, 0, 0}, 21, Options{}},
		{"route of no whole addresses", []byte{7, 6, 4, 0, 0, 0, 0, 0}, 21, Options{}},
		{"route without pointer", []byte{7, 2, 0, 0}, 21, Options{}},
		{"pointer before the route", []byte{7, 7, 3, 0, 0, 0, 0, 0}, 22, Options{}},
		{"pointer into an address", []byte{131, 7, 5, 0, 0, 0, 0, 0}, 22, Options{}},
		{"two source routes", []byte{131, 3, 4, 137, 3, 4, 0, 0}, 23, Options{}},
		{"two record routes", []byte{7, 3, 4, 7, 3, 4, 0, 0}, 23, Options{}},
		{"two timestamps", []byte{68, 4, 5, 0, 68, 4, 5, 0}, 24, Options{}},
		{"short timestamp", []byte{68, 3, 5, 0}, 21, Options{}},
		{"timestamp pointer", []byte{68, 4, 4, 0}, 22, Options{}},
		{"timestamp flag", []byte{68, 4, 5, 2}, 23, Options{}},
		{"router alert length", []byte{148, 3, 0, 0}, 21, Options{}},
	} {
		o, bad, ok := ParseOptions(c.options)
		if ok != (c.bad == 0) || bad != c.bad {
			t.Errorf("%s: ok %v, pointer %d; want %d", c.name, ok, bad, c.bad)
		}
		if o.RouterAlert != c.want.RouterAlert || !bytes.Equal(o.SourceRoute, c.want.SourceRoute) ||
			!bytes.Equal(o.RecordRoute, c.want.RecordRoute) || !bytes.Equal(o.Timestamp, c.want.Timestamp) {
			t.Errorf("%s: %+v, want %+v", c.name, o, c.want)
		}
	}
}

// RFC1122-3.2.1.8-8: the way back along a source route.
func TestReturnRoute(t *testing.T) {
	for _, c := range []struct {
		name      string
		route     []byte
		completed bool
		dst       string
		option    []byte
	}{
		{"no route", nil, true, "10.9.9.9", nil},
		{"empty", []byte{131, 3, 4}, true, "10.9.9.9", nil},
		{"one gateway", []byte{137, 7, 8, 1, 1, 1, 1}, true, "1.1.1.1", []byte{137, 7, 4, 10, 9, 9, 9, 0}},
		{"two gateways", []byte{131, 11, 12, 1, 1, 1, 1, 2, 2, 2, 2}, true, "2.2.2.2", []byte{131, 11, 4, 1, 1, 1, 1, 10, 9, 9, 9, 0}},
		{"on its way", []byte{131, 11, 8, 1, 1, 1, 1, 2, 2, 2, 2}, false, "2.2.2.2", []byte{131, 11, 4, 1, 1, 1, 1, 10, 9, 9, 9, 0}},
	} {
		o := Options{SourceRoute: c.route}
		if o.Completed() != c.completed {
			t.Errorf("%s: completed %v", c.name, o.Completed())
		}
		if dst, option := o.ReturnRoute(addr("10.9.9.9")); dst != addr(c.dst) || !bytes.Equal(option, c.option) {
			t.Errorf("%s: to %v by %v, want %s by %v", c.name, dst, option, c.dst, c.option)
		}
	}
}

// RFC1122-3.2.1.8-10: routes and times are recorded while there is room (RFC 791 section 3.1).
func TestRecord(t *testing.T) {
	noon := time.Date(2000, 1, 1, 12, 0, 0, 5e6, time.UTC) // 43200005 ms = 0x02932e05
	for _, c := range []struct {
		name         string
		before, want []byte
	}{
		{"route", []byte{7, 11, 4, 0, 0, 0, 0, 0, 0, 0, 0}, []byte{7, 11, 8, 10, 0, 0, 2, 0, 0, 0, 0}},
		{"last of a route", []byte{7, 7, 4, 0, 0, 0, 0}, []byte{7, 7, 8, 10, 0, 0, 2}},
		{"full route", []byte{7, 7, 8, 1, 1, 1, 1}, []byte{7, 7, 8, 1, 1, 1, 1}},
		{"time", []byte{68, 8, 5, 0, 0, 0, 0, 0}, []byte{68, 8, 9, 0, 0x02, 0x93, 0x2e, 0x05}},
		{"address and time", []byte{68, 12, 5, 1, 0, 0, 0, 0, 0, 0, 0, 0}, []byte{68, 12, 13, 1, 10, 0, 0, 2, 0x02, 0x93, 0x2e, 0x05}},
		{"our turn", []byte{68, 12, 5, 3, 10, 0, 0, 2, 0, 0, 0, 0}, []byte{68, 12, 13, 3, 10, 0, 0, 2, 0x02, 0x93, 0x2e, 0x05}},
		{"the turn of another", []byte{68, 12, 5, 3, 10, 0, 0, 3, 0, 0, 0, 0}, []byte{68, 12, 5, 3, 10, 0, 0, 3, 0, 0, 0, 0}},
		{"full", []byte{68, 8, 9, 0x10, 1, 2, 3, 4}, []byte{68, 8, 9, 0x20, 1, 2, 3, 4}},
		{"overfull", []byte{68, 8, 9, 0xf0, 1, 2, 3, 4}, []byte{68, 8, 9, 0xf0, 1, 2, 3, 4}},
	} {
		got := bytes.Clone(c.before)
		o, _, ok := ParseOptions(got)
		if !ok || !o.Record(addr("10.0.0.2"), noon) {
			t.Errorf("%s: not taken for an option that records", c.name)
		}
		if !bytes.Equal(got, c.want) {
			t.Errorf("%s: %v, want %v", c.name, got, c.want)
		}
	}
	if o := (Options{RouterAlert: true}); o.Record(addr("10.0.0.2"), noon) {
		t.Error("Router Alert records nothing")
	}
}

// RFC 791 section 3.1: the copied flag.
func TestCopiedOptions(t *testing.T) {
	for _, c := range []struct{ options, want []byte }{
		{nil, nil},
		{[]byte{7, 7, 4, 0, 0, 0, 0, 0}, nil},
		{[]byte{1, 148, 4, 0, 0, 0, 0, 0}, []byte{148, 4, 0, 0}},
		{[]byte{7, 3, 4, 131, 3, 4, 1, 136, 4, 1, 2, 0}, []byte{131, 3, 4, 136, 4, 1, 2, 0}},
		{[]byte{148, 0, 0, 0}, nil},
	} {
		if got := copiedOptions(nil, c.options); !bytes.Equal(got, c.want) {
			t.Errorf("of %v: %v, want %v", c.options, got, c.want)
		}
	}
}

func FuzzOptions(f *testing.F) {
	f.Add([]byte{7, 7, 4, 0, 0, 0, 0, 0, 68, 12, 5, 3, 10, 0, 0, 2, 0, 0, 0, 0})
	f.Add([]byte{131, 11, 12, 1, 1, 1, 1, 2, 2, 2, 2, 1, 148, 4, 0, 0})
	f.Fuzz(func(t *testing.T, p []byte) {
		p = p[:min(len(p), maxOptionsLen)&^3]
		copied := copiedOptions(nil, p)
		if len(copied) > len(p) || len(copied)%4 != 0 {
			t.Fatalf("%v has become %v in a fragment", p, copied)
		}
		o, bad, ok := ParseOptions(p)
		if !ok {
			if bad < MinHeaderLen || bad >= MinHeaderLen+len(p) {
				t.Fatalf("pointer %d is not in the options %v", bad, p)
			}
			return
		}
		if c, _, ok := ParseOptions(copied); !ok || !bytes.Equal(c.SourceRoute, o.SourceRoute) || c.RouterAlert != o.RouterAlert {
			t.Fatalf("a fragment of %v has the options %v", p, copied)
		}
		if dst, option := o.ReturnRoute(addr("10.9.9.9")); len(option) > maxOptionsLen || len(option)%4 != 0 || !dst.IsValid() {
			t.Fatalf("the way back of %v is %v", p, option)
		}
		o.Record(addr("10.0.0.2"), epoch)
		if _, bad, ok := ParseOptions(p); !ok {
			t.Fatalf("recording has made %v malformed at %d", p, bad)
		}
	})
}
