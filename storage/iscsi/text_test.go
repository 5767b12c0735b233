package iscsi

import (
	"bytes"
	"slices"
	"strings"
	"testing"
)

func TestText(t *testing.T) {
	for _, c := range []struct {
		text string
		want []pair // nil: an error
	}{
		{"", []pair{}},
		{"A=1\x00", []pair{{"A", "1"}}},
		{"A=1\x00B=\x00", []pair{{"A", "1"}, {"B", ""}}},
		{"A=1=2\x00", []pair{{"A", "1=2"}}},
		{"A=1\x00\x00\x00", []pair{{"A", "1"}}},
		{"X-com.example.key_1+@=v\x00", []pair{{"X-com.example.key_1+@", "v"}}},
		{"A=1", nil},       // no NUL
		{"A\x00", nil},     // no =
		{"=1\x00", nil},    // no key
		{"a=1\x00", nil},   // keys begin with a capital letter
		{"A B=1\x00", nil}, // no standard-label
		{"A" + strings.Repeat("b", 63) + "=1\x00", nil},
		{strings.Repeat("A=1\x00", maxKeys+1), nil},
	} {
		got, err := parseText([]byte(c.text))
		if (err != nil) != (c.want == nil) || !slices.Equal(got, c.want) {
			t.Errorf("%q: %v %v, want %v", c.text, got, err, c.want)
		}
	}
}

// Text is whole however it is cut into PDUs, also within a key (RFC 7143, 6.2).
func TestTextOverSeveralPDUs(t *testing.T) {
	text := "First=1\x00Second=two\x00"
	for cut := range len(text) {
		var a assembly
		if pairs, err := a.add([]byte(text[:cut]), true); err != nil || pairs != nil {
			t.Fatal(pairs, err)
		}
		pairs, err := a.add([]byte(text[cut:]), false)
		if err != nil || !slices.Equal(pairs, []pair{{"First", "1"}, {"Second", "two"}}) {
			t.Errorf("cut at %d: %v %v", cut, pairs, err)
		}
	}
	var a assembly
	for range maxText / 1024 {
		if _, err := a.add(make([]byte, 1024), true); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := a.add([]byte{0}, true); err == nil {
		t.Error("text without end is taken")
	}
}

func TestNumbers(t *testing.T) {
	for _, c := range []struct {
		v    string
		want uint32
		ok   bool
	}{
		{"0", 0, true}, {"65536", 65536, true}, {"0x10", 16, true}, {"0XfF", 255, true},
		{"4294967295", 1<<32 - 1, true}, {"4294967296", 0, false}, {"", 0, false}, {"-1", 0, false},
		{"+1", 0, false}, {"0x", 0, false}, {"1 ", 0, false}, {"1e3", 0, false}, {"0x+1", 0, false},
	} {
		if n, ok := parseNumber(c.v); n != c.want || ok != c.ok {
			t.Errorf("%q: %d %v", c.v, n, ok)
		}
	}
}

func TestBinary(t *testing.T) {
	for _, c := range []struct {
		v, want string
		ok      bool
	}{
		{"0x4142", "AB", true}, {"0X4a", "J", true}, {"0x142", "\x01B", true}, {"0bQUI=", "AB", true}, {"0BQUJD", "ABC", true},
		{"4142", "", false}, {"0x", "", false}, {"0xzz", "", false}, {"0b!", "", false},
		{"0x" + strings.Repeat("00", maxBinary), strings.Repeat("\x00", maxBinary), true},
		{"0x" + strings.Repeat("00", maxBinary+1), "", false},
	} {
		b, ok := parseBinary(c.v)
		if ok != c.ok || ok && string(b) != c.want {
			t.Errorf("%.20q: %q %v", c.v, b, ok)
		}
	}
	if b, ok := parseBinary(formatBinary([]byte{0, 255})); !ok || !bytes.Equal(b, []byte{0, 255}) {
		t.Error(b, ok)
	}
}

func FuzzText(f *testing.F) {
	f.Add([]byte("InitiatorName=iqn.a\x00HeaderDigest=CRC32C,None\x00"))
	f.Fuzz(func(t *testing.T, b []byte) {
		pairs, err := parseText(b)
		if err != nil {
			return
		}
		again, err := parseText(appendText(nil, pairs))
		if err != nil || !slices.Equal(pairs, again) {
			t.Fatalf("%q became %q, %v", pairs, again, err)
		}
		n := newNegotiation(initialValues())
		for _, p := range pairs {
			parseBinary(p.value)
			if id, ok := findKey(p.key); ok {
				if _, err := n.take(id, p.value); err != nil {
					break
				}
			}
		}
		for id, r := range keyRules {
			if v := n.agreed[id]; r.combine != first && !r.isBoolean() && (v < r.low || v > r.high) {
				t.Fatalf("%s is %d after %q", r.name, v, pairs)
			}
		}
	})
}
