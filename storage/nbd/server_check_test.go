package nbd

import "testing"

// TestCheck holds a table of requests against each kind of connection.
func TestCheck(t *testing.T) {
	rw := FlagHasFlags | FlagSendFlush | FlagSendFUA | FlagSendTrim | FlagSendWriteZeroes | FlagSendFastZero
	simple := limits{headersSimple, rw, 1 << 20, 1, 64 << 10, 0}
	structured := limits{headersStructured, rw | FlagSendDF, 1 << 20, 512, 64 << 10, 1}
	extended := limits{headersExtended, rw | FlagSendDF | FlagBlockStatusPayload, 1 << 20, 1, 64 << 10, 1}
	readOnly := limits{headersStructured, FlagHasFlags | FlagReadOnly, 1 << 20, 1, 64 << 10, 0}
	resizable := limits{headersSimple, rw | FlagSendResize, 1 << 20, 512, 64 << 10, 0}
	empty := limits{headersSimple, rw, 0, 1, 64 << 10, 0}
	for _, c := range []struct {
		l     limits
		r     request
		want  Errno
		fatal bool
	}{
		// Ranges.
		{simple, request{0, cmdRead, 1, 0, 1}, 0, false},
		{simple, request{0, cmdRead, 1, 1<<20 - 1, 1}, 0, false},
		{simple, request{0, cmdRead, 1, 1 << 20, 0}, 0, false},
		{simple, request{0, cmdRead, 1, 1 << 20, 1}, EINVAL, false},
		{simple, request{0, cmdRead, 1, 1<<20 + 1, 0}, EINVAL, false},
		{simple, request{0, cmdRead, 1, 1<<64 - 1, 2}, EINVAL, false},
		{simple, request{0, cmdTrim, 1, 1<<20 - 1, 2}, EINVAL, false},
		{simple, request{0, cmdCache, 1, 1<<20 - 1, 2}, EINVAL, false},
		{simple, request{0, cmdWrite, 1, 1<<20 - 1, 2}, ENOSPC, false},
		{simple, request{0, cmdWrite, 1, 1<<63 + 1, 2}, ENOSPC, false},
		{simple, request{0, cmdWriteZeroes, 1, 0, 1<<32 - 1}, ENOSPC, false},
		{structured, request{0, cmdBlockStatus, 1, 1<<20 - 512, 1024}, EINVAL, false},
		{empty, request{0, cmdRead, 1, 0, 1}, EINVAL, false},
		{empty, request{0, cmdWrite, 1, 0, 1}, ENOSPC, false},
		{empty, request{0, cmdFlush, 1, 0, 0}, 0, false},
		// Lengths.
		{simple, request{0, cmdRead, 1, 0, 64 << 10}, 0, false},
		{simple, request{0, cmdRead, 1, 0, 64<<10 + 1}, EINVAL, false},
		{simple, request{0, cmdWrite, 1, 0, 64<<10 + 1}, EINVAL, false},
		{simple, request{0, cmdWrite, 1, 0, 1<<32 - 1}, EINVAL, false},
		{structured, request{cmdFlagDF, cmdRead, 1, 0, 128 << 10}, EOVERFLOW, false},
		{simple, request{0, cmdTrim, 1, 0, 1 << 20}, 0, false},
		{simple, request{0, cmdWriteZeroes, 1, 0, 1 << 20}, 0, false},
		{extended, request{0, cmdWriteZeroes, 1, 0, 1 << 40}, ENOSPC, false},
		{extended, request{0, cmdTrim, 1, 0, 1<<64 - 1}, EINVAL, false},
		{extended, request{cmdFlagPayloadLen, cmdWrite, 1, 0, 64<<10 + 1}, EINVAL, false},
		{extended, request{cmdFlagPayloadLen, cmdWrite, 1, 0, 32<<20 + 1}, EINVAL, true},
		{extended, request{cmdFlagPayloadLen, cmdRead, 1, 0, 1 << 40}, EINVAL, true},
		// Alignment.
		{structured, request{0, cmdRead, 1, 1, 512}, EINVAL, false},
		{structured, request{0, cmdRead, 1, 512, 511}, EINVAL, false},
		{structured, request{0, cmdWrite, 1, 1024, 512}, 0, false},
		{structured, request{0, cmdTrim, 1, 100, 512}, EINVAL, false},
		// Flags.
		{simple, request{cmdFlagFUA, cmdRead, 1, 0, 1}, 0, false},
		{simple, request{cmdFlagFUA, cmdFlush, 1, 0, 0}, 0, false},
		{simple, request{cmdFlagFUA, cmdCache, 1, 0, 1}, 0, false},
		{simple, request{cmdFlagDF, cmdRead, 1, 0, 1}, EINVAL, false},
		{structured, request{cmdFlagDF, cmdRead, 1, 0, 512}, 0, false},
		{structured, request{cmdFlagDF, cmdWrite, 1, 0, 512}, EINVAL, false},
		{simple, request{cmdFlagNoHole, cmdWrite, 1, 0, 1}, EINVAL, false},
		{simple, request{cmdFlagNoHole | cmdFlagFastZero | cmdFlagFUA, cmdWriteZeroes, 1, 0, 1}, 0, false},
		{simple, request{cmdFlagNoHole, cmdTrim, 1, 0, 1}, EINVAL, false},
		{simple, request{cmdFlagReqOne, cmdRead, 1, 0, 1}, EINVAL, false},
		{simple, request{1 << 15, cmdRead, 1, 0, 1}, EINVAL, false},
		{structured, request{cmdFlagPayloadLen, cmdWrite, 1, 0, 512}, EINVAL, false},
		{extended, request{0, cmdWrite, 1, 0, 512}, EINVAL, false},
		{extended, request{cmdFlagPayloadLen, cmdRead, 1, 0, 512}, EINVAL, false},
		{extended, request{cmdFlagPayloadLen, cmdFlush, 1, 0, 512}, EINVAL, false},
		// BLOCK_STATUS.
		{simple, request{0, cmdBlockStatus, 1, 0, 512}, EINVAL, false},
		{structured, request{cmdFlagReqOne, cmdBlockStatus, 1, 0, 512}, 0, false},
		{structured, request{0, cmdBlockStatus, 1, 0, 0}, EINVAL, false},
		{extended, request{cmdFlagPayloadLen, cmdBlockStatus, 1, 0, 12}, 0, false},
		{extended, request{cmdFlagPayloadLen, cmdBlockStatus, 1, 0, 1 << 20}, EINVAL, false},
		// Commands.
		{simple, request{0, 9, 1, 0, 0}, EINVAL, false},
		{simple, request{0, 1<<16 - 1, 1, 0, 1 << 20}, EINVAL, false},
		{simple, request{0, cmdFlush, 1, 1, 0}, EINVAL, false},
		{simple, request{0, cmdFlush, 1, 0, 1}, EINVAL, false},
		{simple, request{0, cmdResize, 1, 2 << 20, 0}, EINVAL, false},
		{resizable, request{0, cmdResize, 1, 2 << 20, 0}, 0, false},
		{resizable, request{0, cmdResize, 1, 2<<20 + 1, 0}, EINVAL, false},
		{resizable, request{0, cmdResize, 1, 1 << 63, 0}, EINVAL, false},
		// A read-only export.
		{readOnly, request{0, cmdRead, 1, 0, 512}, 0, false},
		{readOnly, request{0, cmdFlush, 1, 0, 0}, 0, false},
		{readOnly, request{0, cmdWrite, 1, 0, 512}, EPERM, false},
		{readOnly, request{0, cmdWrite, 1, 0, 1 << 30}, EPERM, false},
		{readOnly, request{0, cmdTrim, 1, 0, 512}, EPERM, false},
		{readOnly, request{0, cmdWriteZeroes, 1, 0, 512}, EPERM, false},
	} {
		v := c.l.check(c.r)
		if v.errno != c.want || v.fatal != c.fatal {
			t.Errorf("headers %d, %v %+v: error %d (%s), fatal %v, want %d, %v", c.l.style, c.r.cmd, c.r, v.errno, v.message, v.fatal, c.want, c.fatal)
		}
		if (v.errno != 0) != (v.message != "") {
			t.Errorf("%+v: error %d with the message %q", c.r, v.errno, v.message)
		}
	}
}
