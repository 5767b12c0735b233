package iscsi

import (
	"encoding/binary"
	"fmt"
)

// read is the reader: it owns what it reads, and blocks in reading. It never writes.
func (k *link) read() error {
	var h header
	for {
		if _, err := k.reader.header(&h); err != nil {
			return err
		}
		k.heard.Add(1)
		n := h.dataLength()
		k.token <- struct{}{}
		data, err := k.place(&h)
		<-k.token
		if err != nil {
			return err
		}
		if data == nil && n > 0 {
			buf := k.pool.Get(n)
			err = k.reader.data(buf.Bytes[:n])
			if err == nil {
				err = k.take(&h, buf.Bytes[:n])
			}
			k.pool.Put(buf)
		} else {
			if err = k.reader.data(data); err == nil {
				err = k.take(&h, data)
			}
		}
		if err != nil {
			return err
		}
		if k.pending.Load() {
			k.wakeUp(k.wake)
		}
	}
}

// place is where the data of a Data-In go: the buffer of its caller. The call stays in
// the table until the reader itself, or the end of the link, takes it out.
func (k *link) place(h *header) ([]byte, error) {
	if h.opcode() != opDataIn {
		return nil, nil
	}
	c := k.calls[h.itt()]
	if c == nil || c.header.opcode() != opCommand {
		return nil, nil
	}
	at, n := int(h.bufferOffset()), h.dataLength()
	if at != c.received || at+n > len(c.in) {
		return nil, formatErrorf("data of %d bytes at %d of a command that expects %d at %d", n, at, len(c.in)-c.received, c.received)
	}
	return c.in[at : at+n], nil
}

// take takes a PDU.
func (k *link) take(h *header, data []byte) error {
	k.token <- struct{}{}
	defer func() { <-k.token }()
	if err := k.sequence(h); err != nil {
		return err
	}
	op := h.opcode()
	switch op {
	case opReject:
		return k.rejected(h, data)
	case opAsync:
		k.async(h, data)
		return nil
	case opNopIn:
		if h.ttt() != reservedTag {
			resp := newHeader(opNopOut, flagFinal, reservedTag)
			resp[0] |= 0x40
			resp.setLUN(h.lun())
			resp.setTTT(h.ttt())
			resp.setCmdSN(k.cmdSN)
			k.enqueue(nil, resp, nil)
		}
		if h.itt() == reservedTag {
			return nil
		}
	}
	c := k.calls[h.itt()]
	if c == nil {
		return nil // of a task that was aborted
	}
	request := c.header.opcode()
	switch {
	case op == opDataIn && request == opCommand:
		c.received += len(data)
		if h.flags()&flagStatus == 0 {
			return nil
		}
	case op == opR2T && request == opCommand:
		return k.solicited(c, h)
	case op != request|0x20:
		return formatErrorf("%v in answer to %v", op, request)
	}
	c.answer = *h
	if op != opDataIn {
		c.text = append(c.text[:0], data...)
	}
	k.finish(c)
	return nil
}

// sequence follows the numbers of a PDU (RFC 7143, 4.2.2). At level 0 a status that is
// missing ends the session.
func (k *link) sequence(h *header) error {
	op := h.opcode()
	if m := h.maxCmdSN(); !before(m+1, h.expCmdSN()) && before(k.maxCmdSN, m) {
		k.maxCmdSN = m
		k.wakeUp(k.room)
	}
	if op == opR2T || op == opDataIn && h.flags()&flagStatus == 0 || op == opNopIn && h.itt() == reservedTag {
		return nil
	}
	if h.statSN() != k.expStatSN {
		return formatErrorf("%v with StatSN %d where %d was to come", op, h.statSN(), k.expStatSN)
	}
	k.expStatSN++
	return nil
}

// solicited queues the data that an R2T asks for.
func (k *link) solicited(c *call, h *header) error {
	at, n := uint64(h.bufferOffset()), uint64(h.desiredLength())
	if n == 0 || at+n > uint64(len(c.out)) {
		return formatErrorf("an R2T of %d bytes at %d of a command that has %d", n, at, len(c.out))
	}
	k.dataOut(c, h.ttt(), int(at), int(at+n))
	return nil
}

// rejected ends the call whose request the target has rejected.
func (k *link) rejected(h *header, data []byte) error {
	if len(data) < headerSize {
		return formatErrorf("a Reject without the header that it is of")
	}
	bad := header(data[:headerSize])
	c := k.calls[bad.itt()]
	if c == nil || bad.opcode() != c.header.opcode() {
		return nil
	}
	c.err = fmt.Errorf("%w: reason %#02x", errRejected, h[2])
	k.finish(c)
	return nil
}

// async takes an Asynchronous Message.
func (k *link) async(h *header, data []byte) {
	e := Event{Code: h[36], LUN: h.lun()}
	if len(data) >= 2 {
		n := int(binary.BigEndian.Uint16(data))
		e.Sense = append(e.Sense, data[2:min(len(data), 2+n)]...)
	}
	if e.Code == asyncLogout && !k.asked {
		k.asked = true
		close(k.leaving)
	}
	if k.notify != nil {
		k.notify(e)
	}
}
