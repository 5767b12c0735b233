package nbd

// A verdict is what a server thinks of a request before it has touched the device.
type verdict struct {
	errno   Errno  // 0: to be done
	message string // for people, with an error
	fatal   bool   // the connection cannot go on
}

// limits is what a request is held against.
type limits struct {
	style    headerStyle
	flags    Flags
	size     int64  // of the export
	minimum  uint32 // block size
	maximum  uint32 // length of a read or write
	contexts int    // that were selected
}

// flagsOf are the flags that each command may have beside FUA, which all may have
// (specification, Command flags), and those of them that a style of headers or a
// transmission flag must have allowed.
func (l limits) flagsOf(c command) commandFlags {
	switch c {
	case cmdRead:
		if l.style != headersSimple {
			return cmdFlagDF
		}
	case cmdWrite:
		if l.style == headersExtended {
			return cmdFlagPayloadLen
		}
	case cmdWriteZeroes:
		return cmdFlagNoHole | cmdFlagFastZero
	case cmdBlockStatus:
		if l.flags.Has(FlagBlockStatusPayload) {
			return cmdFlagReqOne | cmdFlagPayloadLen
		}
		return cmdFlagReqOne
	}
	return 0
}

// check judges a request by its header alone. What it refuses must still have its
// payload skipped. The numbers are those that the specification has under Error
// values and at each command.
func (l limits) check(r request) verdict {
	no := func(e Errno, message string) verdict { return verdict{errno: e, message: message} }
	payload := r.payload(l.style)
	switch {
	case l.style == headersExtended && payload > uint64(max(l.maximum, defaultMaxPayload)):
		return verdict{EINVAL, "the payload is too long", true}
	case r.cmd > cmdResize || r.cmd == cmdDisc || r.cmd == cmdResize && !l.flags.Has(FlagSendResize):
		return no(EINVAL, "the server does not know this command")
	case r.flags&^(cmdFlagFUA|l.flagsOf(r.cmd)) != 0:
		return no(EINVAL, "a flag that does not go with this command")
	case r.cmd == cmdWrite && l.style == headersExtended && r.flags&cmdFlagPayloadLen == 0:
		return no(EINVAL, "a write without payload")
	case r.cmd == cmdFlush:
		if r.offset != 0 || r.length != 0 {
			return no(EINVAL, "a flush of a range")
		}
		return verdict{}
	case r.cmd == cmdResize:
		return l.checkResize(r)
	}
	return l.checkRange(r, payload)
}

// checkRange judges commands that have a range.
func (l limits) checkRange(r request, payload uint64) verdict {
	no := func(e Errno, message string) verdict { return verdict{errno: e, message: message} }
	changes := r.cmd == cmdWrite || r.cmd == cmdTrim || r.cmd == cmdWriteZeroes
	if changes && l.flags.Has(FlagReadOnly) {
		return no(EPERM, "the export is read-only")
	}
	if (r.cmd == cmdRead || r.cmd == cmdWrite) && r.length > uint64(l.maximum) {
		if r.flags&cmdFlagDF != 0 {
			return no(EOVERFLOW, "longer than can be read at once")
		}
		return no(EINVAL, "longer than the maximum")
	}
	if r.cmd == cmdBlockStatus {
		if l.contexts == 0 {
			return no(EINVAL, "no meta context was selected")
		}
		if payload > 0 {
			if payload > blockStatusPayloadFixed+maxMetaContexts*blockStatusPayloadPerItem {
				return no(EINVAL, "more contexts than there are")
			}
			return verdict{} // the length is in the payload: see checkEffect
		}
	}
	return l.checkEffect(r, r.length)
}

// checkEffect judges the range of a command, which for BLOCK_STATUS may be known
// from the payload only.
func (l limits) checkEffect(r request, length uint64) verdict {
	switch {
	case r.offset > uint64(l.size) || length > uint64(l.size)-r.offset:
		if r.cmd == cmdWrite || r.cmd == cmdWriteZeroes {
			return verdict{errno: ENOSPC, message: "beyond the end of the export"}
		}
		return verdict{errno: EINVAL, message: "beyond the end of the export"}
	case (r.offset|length)&uint64(l.minimum-1) != 0:
		return verdict{errno: EINVAL, message: "not aligned to the minimum block size"}
	case r.cmd == cmdBlockStatus && length == 0:
		return verdict{errno: EINVAL, message: "the status of no range"}
	}
	return verdict{}
}

// checkResize judges RESIZE, whose offset is the new size.
func (l limits) checkResize(r request) verdict {
	switch {
	case l.flags.Has(FlagReadOnly):
		return verdict{errno: EPERM, message: "the export is read-only"}
	case r.length != 0 || r.offset&uint64(l.minimum-1) != 0 || r.offset > 1<<63-1:
		return verdict{errno: EINVAL, message: "not a size that the export can have"}
	}
	return verdict{}
}
