package ip

import (
	"syscall"
	"testing"
)

// RFC1122-3.2.2.1-3, RFC1122-3.2.2.1-4: what a socket is told of an ICMP error, and which errors are hard.
func TestICMPError(t *testing.T) {
	for _, c := range []struct {
		kind, code uint8
		want       error
		hard       bool
	}{
		{TypeUnreachable, CodeNetUnreachable, syscall.ENETUNREACH, false},
		{TypeUnreachable, CodeHostUnreachable, syscall.EHOSTUNREACH, false},
		{TypeUnreachable, CodeProtocolUnreachable, syscall.ENOPROTOOPT, true},
		{TypeUnreachable, CodePortUnreachable, syscall.ECONNREFUSED, true},
		{TypeUnreachable, CodeFragmentationNeeded, syscall.EMSGSIZE, false},
		{TypeUnreachable, CodeSourceRouteFailed, syscall.EOPNOTSUPP, false},
		{TypeUnreachable, CodeAdminProhibited, syscall.EHOSTUNREACH, false},
		{TypeTimeExceeded, CodeTTLExceeded, syscall.EHOSTUNREACH, false},
		{TypeParameterProblem, 0, syscall.EPROTO, false},
	} {
		e := ICMPError{Type: c.kind, Code: c.code}
		if e.Err() != c.want || e.Hard() != c.hard {
			t.Errorf("type %d code %d: %v, hard %v; want %v, %v", c.kind, c.code, e.Err(), e.Hard(), c.want, c.hard)
		}
	}
}
