package iscsi

import (
	"bytes"
	"encoding/base64"
	"encoding/hex"
	"math"
	"strconv"
	"strings"
)

// Bounds of text (RFC 7143, 6.1). One negotiation may have 8192 bytes of it at
// least.
const (
	maxKey       = 63
	maxText      = 16 << 10
	maxKeys      = 96   // so that answers to all fit one PDU
	maxValueName = 255  // of a name or other simple value
	maxBinary    = 1024 // decoded, such as a challenge (RFC 7143, 12.1.3)
)

// A pair is one key and its value.
type pair struct{ key, value string }

// Values that mean something for every key (RFC 7143, 6.2).
const (
	valueNone          = "None"
	valueYes           = "Yes"
	valueNo            = "No"
	valueReject        = "Reject"
	valueIrrelevant    = "Irrelevant"
	valueNotUnderstood = "NotUnderstood"
)

// parseText takes the key=value pairs of whole text apart: each ends with a NUL
// (RFC 7143, 6.1).
func parseText(b []byte) (pairs []pair, err error) { return parsePairs(b, maxKeys) }

// parsePairs is parseText for at most most keys.
func parsePairs(b []byte, most int) (pairs []pair, err error) {
	for len(b) > 0 {
		end := bytes.IndexByte(b, 0)
		if end < 0 {
			return nil, formatErrorf("text that does not end with a NUL")
		}
		line := string(b[:end])
		b = b[end+1:]
		if line == "" {
			continue // padding of those who count it as text
		}
		key, value, ok := strings.Cut(line, "=")
		if !ok || !validKey(key) {
			return nil, formatErrorf("text %.80q is no key=value", line)
		}
		if len(pairs) == most {
			return nil, formatErrorf("more than %d keys", most)
		}
		pairs = append(pairs, pair{key, value})
	}
	return pairs, nil
}

// validKey says whether k is a key-name (RFC 7143, 6.1: standard-label).
func validKey(k string) bool {
	if len(k) == 0 || len(k) > maxKey || k[0] < 'A' || k[0] > 'Z' {
		return false
	}
	for i := range len(k) {
		c := k[i]
		if !(c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c >= '0' && c <= '9' || strings.IndexByte(".-+@_#", c) >= 0) {
			return false
		}
	}
	return true
}

func appendPair(b []byte, p pair) []byte {
	return append(append(append(append(b, p.key...), '='), p.value...), 0)
}

func appendText(b []byte, pairs []pair) []byte {
	for _, p := range pairs {
		b = appendPair(b, p)
	}
	return b
}

// An assembly collects text over the PDUs that continue it with the C bit (RFC
// 7143, 6.2).
type assembly struct{ text []byte }

// add takes the text of one PDU, and returns the pairs when it is the last.
func (a *assembly) add(text []byte, more bool) (pairs []pair, err error) {
	if len(a.text)+len(text) > maxText {
		return nil, formatErrorf("more than %d bytes of text", maxText)
	}
	a.text = append(a.text, text...)
	if more {
		return nil, nil
	}
	pairs, err = parseText(a.text)
	a.text = nil
	return pairs, err
}

// parseNumber reads a decimal or hexadecimal constant (RFC 7143, 6.1).
func parseNumber(v string) (uint32, bool) {
	var n uint64
	var err error
	if digits, ok := cutPrefixFold(v, "0x"); ok {
		n, err = strconv.ParseUint(digits, 16, 64)
	} else {
		n, err = strconv.ParseUint(v, 10, 64)
	}
	if err != nil || n > math.MaxUint32 || v[0] == '+' {
		return 0, false
	}
	return uint32(n), true
}

func cutPrefixFold(s, prefix string) (rest string, ok bool) {
	if len(s) < len(prefix) || !strings.EqualFold(s[:len(prefix)], prefix) {
		return s, false
	}
	return s[len(prefix):], true
}

// parseBinary reads a hexadecimal or base64 constant of at most maxBinary bytes
// (RFC 7143, 6.1: binary-value).
func parseBinary(v string) ([]byte, bool) {
	var b []byte
	var err error
	if digits, ok := cutPrefixFold(v, "0x"); ok {
		if len(digits) > 2*maxBinary {
			return nil, false
		}
		if len(digits)%2 == 1 {
			digits = "0" + digits
		}
		b, err = hex.DecodeString(digits)
	} else if digits, ok := cutPrefixFold(v, "0b"); ok {
		if len(digits) > 2*maxBinary {
			return nil, false
		}
		b, err = base64.StdEncoding.DecodeString(digits)
	} else {
		return nil, false
	}
	return b, err == nil && len(b) > 0 && len(b) <= maxBinary
}

func formatBinary(b []byte) string { return "0x" + hex.EncodeToString(b) }
