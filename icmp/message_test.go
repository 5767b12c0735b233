package icmp

import (
	"testing"

	"github.com/seed-012105e5/gonet/ip"
	"github.com/seed-012105e5/gonet/packet"
)

func TestMessage(t *testing.T) {
	noLeak(t)
	b := packet.From([]byte("abc"))
	defer b.Release()
	Push(b, TypeEcho, 0, 0x1234_0007)
	m, err := Parse(b)
	if err != nil {
		t.Fatal(err)
	}
	if m.Type() != TypeEcho || m.Code() != 0 || m.ID() != 0x1234 || m.Seq() != 7 || m.Value() != 0x12340007 || string(m.Data()) != "abc" {
		t.Errorf("parsed %v", m)
	}
}

func TestParseErrors(t *testing.T) {
	noLeak(t)
	good := func() *packet.Buffer {
		b := packet.From([]byte("abc"))
		Push(b, TypeEcho, 0, 1)
		return b
	}
	for _, test := range []struct {
		name   string
		mutate func(*packet.Buffer)
		want   error
	}{
		{"good", func(b *packet.Buffer) {}, nil},
		{"data changed", func(b *packet.Buffer) { b.Bytes()[9] ^= 1 }, ErrChecksum},
		{"type changed", func(b *packet.Buffer) { b.Bytes()[0] ^= 1 }, ErrChecksum},
		{"seven bytes", func(b *packet.Buffer) { b.Trim(7) }, ErrLength},
		{"nothing", func(b *packet.Buffer) { b.Trim(0) }, ErrLength},
		{"the device has verified it", func(b *packet.Buffer) { b.Bytes()[9] ^= 1; b.Checksum = packet.ChecksumVerified }, nil},
		{"it never crossed a wire", func(b *packet.Buffer) { b.Bytes()[9] ^= 1; b.SetPartial(0, 2) }, nil},
	} {
		b := good()
		test.mutate(b)
		if _, err := Parse(b); err != test.want {
			t.Errorf("%s: %v, want %v", test.name, err, test.want)
		}
		b.Release()
	}
}

func TestString(t *testing.T) {
	for _, test := range []struct {
		typ, code uint8
		want      string
	}{
		{TypeEcho, 0, "ICMP echo request, id 1, seq 2, length 8"},
		{TypeEchoReply, 0, "ICMP echo reply, id 1, seq 2, length 8"},
		{ip.TypeUnreachable, 3, "ICMP destination unreachable, code 3, length 8"},
		{ip.TypeTimeExceeded, 0, "ICMP time exceeded, code 0, length 8"},
		{ip.TypeParameterProblem, 0, "ICMP parameter problem, code 0, length 8"},
		{ip.TypeSourceQuench, 0, "ICMP source quench, code 0, length 8"},
		{TypeRedirect, 1, "ICMP redirect, code 1, length 8"},
		{200, 1, "ICMP type 200, code 1, length 8"},
	} {
		m := Message{test.typ, test.code, 0, 0, 0, 1, 0, 2}
		if got := m.String(); got != test.want {
			t.Errorf("%q, want %q", got, test.want)
		}
	}
}

func FuzzParse(f *testing.F) {
	f.Add([]byte{8, 0, 0xf7, 0xfe, 0, 0, 0, 1})
	f.Add([]byte{3, 3, 0, 0})
	f.Fuzz(func(t *testing.T, p []byte) {
		if len(p) > packet.MaxSize {
			return
		}
		b := packet.From(p)
		defer b.Release()
		if m, err := Parse(b); err == nil {
			_ = m.String()
			if len(m.Data()) != len(p)-HeaderLen {
				t.Errorf("%d bytes of data in %d", len(m.Data()), len(p))
			}
		}
	})
}
