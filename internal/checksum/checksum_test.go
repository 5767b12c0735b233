package checksum

import (
	"encoding/binary"
	"math/rand/v2"
	"testing"
)

// plain is RFC 1071 section 4.1 word by word.
func plain(p []byte) uint16 {
	var sum uint32
	for len(p) > 1 {
		sum += uint32(binary.BigEndian.Uint16(p))
		p = p[2:]
	}
	if len(p) == 1 {
		sum += uint32(p[0]) << 8
	}
	for sum>>16 != 0 {
		sum = sum&0xffff + sum>>16
	}
	return ^uint16(sum)
}

// TestExample is the numerical example of RFC 1071 section 3.
func TestExample(t *testing.T) {
	p := []byte{0x00, 0x01, 0xf2, 0x03, 0xf4, 0xf5, 0xf6, 0xf7}
	if got := Fold(Sum(p, 0)); got != 0xddf2 {
		t.Errorf("sum = %#04x, want 0xddf2", got)
	}
}

func TestAgainstPlain(t *testing.T) {
	rnd := rand.New(rand.NewPCG(1, 2))
	for n := range 300 {
		p := make([]byte, n)
		for range 20 {
			for i := range p {
				p[i] = byte(rnd.Uint32())
				if rnd.IntN(2) == 0 {
					p[i] = 0xff
				}
			}
			if got, want := Of(p), plain(p); got != want {
				t.Fatalf("%d bytes: %#04x, want %#04x", n, got, want)
			}
			cut := n / 2 &^ 1
			if got, want := ^Fold(Sum(p[cut:], Sum(p[:cut], 0))), plain(p); got != want {
				t.Fatalf("%d bytes in two parts: %#04x, want %#04x", n, got, want)
			}
		}
	}
}

func TestUpdate(t *testing.T) {
	rnd := rand.New(rand.NewPCG(3, 4))
	p := make([]byte, 20)
	for range 1000 {
		for i := range p {
			p[i] = byte(rnd.Uint32())
		}
		sum, old, now := Of(p), binary.BigEndian.Uint16(p[8:]), uint16(rnd.Uint32())
		binary.BigEndian.PutUint16(p[8:], now)
		if got, want := Update(sum, old, now), Of(p); got != want {
			t.Fatalf("%#04x, want %#04x", got, want)
		}
	}
}

func BenchmarkSum(b *testing.B) {
	p := make([]byte, 1460)
	b.SetBytes(int64(len(p)))
	for b.Loop() {
		Sum(p, 0)
	}
}
