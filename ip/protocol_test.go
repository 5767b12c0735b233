package ip

import (
	"net/netip"
	"testing"

	"github.com/seed-012105e5/gonet/internal/checksum"
)

// RFC 9293 section 3.1, RFC 8200 section 8.1: the sum of a pseudo-header is that
// of its bytes, and that of length 0 serves for all lengths.
func TestPseudoSum(t *testing.T) {
	const length = 0x1234
	for _, c := range []struct {
		src, dst string
		rest     []byte
	}{
		{"10.1.2.3", "192.168.255.254", []byte{0, ProtocolTCP, length >> 8, length & 0xff}},
		{"2001:db8::ff01:1", "fe80::fedc:ba98:7654:3210", []byte{0, 0, length >> 8, length & 0xff, 0, 0, 0, ProtocolTCP}},
	} {
		src, dst := netip.MustParseAddr(c.src), netip.MustParseAddr(c.dst)
		want := checksum.Of(append(append(src.AsSlice(), dst.AsSlice()...), c.rest...))
		if got := ^checksum.Fold(PseudoSum(src, dst, ProtocolTCP, length)); got != want {
			t.Errorf("%s: %#04x, want %#04x", c.src, got, want)
		}
		if got := ^checksum.Fold(PseudoSum(src, dst, ProtocolTCP, 0) + length); got != want {
			t.Errorf("%s, in two parts: %#04x, want %#04x", c.src, got, want)
		}
	}
}
