package segment

import (
	"bytes"
	"slices"
	"testing"
)

// TestCookieOption: RFC7413-4.1.1: what may be a cookie is written aligned and
// read again; what may not be one is ignored.
func TestCookieOption(t *testing.T) {
	for n := range 20 {
		value := bytes.Repeat([]byte{0xa5}, n)
		o := ParseOptions(append([]byte{optFastOpen, byte(2 + n)}, value...))
		if allowed := n == 0 || n >= 4 && n <= 16 && n%2 == 0; o.FastOpen.Present != allowed {
			t.Errorf("a cookie of %d bytes: %v", n, o.FastOpen.Present)
		} else if !allowed {
			continue
		}
		p := o.Append(nil, true)
		if again := ParseOptions(p); again != o || len(p)%4 != 0 || !slices.Equal(o.FastOpen.bytes(), value) {
			t.Errorf("%d bytes: %v is %x", n, &o, p)
		}
		if p = o.Append(nil, false); len(p) != 0 {
			t.Errorf("on a segment that is no SYN: %x", p)
		}
	}
}

// FuzzCookie: RFC7413-4.1.1: any value is a cookie or is ignored, and goes out
// as it came in.
func FuzzCookie(f *testing.F) {
	f.Add([]byte{})
	f.Add([]byte("12345678"))
	f.Fuzz(func(t *testing.T, value []byte) {
		var c, again Cookie
		c.Parse(value)
		p := c.append(nil)
		again = ParseOptions(p).FastOpen
		if again != c || len(p)%4 != 0 || c.Present && !bytes.Equal(c.bytes(), value) {
			t.Fatalf("%x: %v, %v, %x", value, &c, &again, p)
		}
	})
}
