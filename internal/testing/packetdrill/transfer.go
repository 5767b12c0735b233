package packetdrill

import (
	"fmt"
	"io"
	"net/netip"
	"slices"
	"syscall"
)

// A transfer is what a call of the read or the write family moves.
type transfer struct {
	n     int
	null  bool   // the buffer is NULL
	flags *value // nil where the call has none
	msg   *value // of recvmsg and sendmsg
}

// transfer takes the arguments of a call apart.
func (c *call) transfer() (t transfer, err error) {
	length := int64(0)
	switch c.name {
	case "sendmsg", "recvmsg":
		t.msg, t.flags = &c.args[1], &c.args[2]
		length, err = t.msg.vectors("msg_iov")
	case "readv", "writev":
		length, err = (&value{fields: map[string]value{"iov": c.args[1]}}).vectors("iov")
	default:
		length = c.args[2].number
		t.null = c.args[1].is("NULL")
		if len(c.args) > 3 {
			t.flags = &c.args[3]
		}
	}
	const most = 1 << 26
	if t.n = int(length); err == nil && (length < 0 || length > most) {
		err = fmt.Errorf("%d is no length", length)
	}
	return t, err
}

// vectors is the sum of the lengths in [{..., 40}, {..., 20}].
func (v *value) vectors(name string) (sum int64, err error) {
	list, ok := v.fields[name]
	if !ok {
		return 0, fmt.Errorf("a message has {msg_name(...)=..., msg_iov(n)=[{..., length}], msg_flags=...}")
	}
	for _, iov := range list.list {
		if len(iov.list) != 2 || !iov.list[1].isNum {
			return 0, fmt.Errorf("a part of %s is {..., length}", name)
		}
		sum += iov.list[1].number
	}
	return sum, nil
}

// has says whether the call has a flag.
func (t *transfer) has(flag string) bool { return t.flags != nil && t.flags.has(flag) }

// The flags of send and recv that mean something here.
var (
	sendFlags = []string{"MSG_OOB", "MSG_DONTWAIT", "MSG_NOSIGNAL", "MSG_FASTOPEN", "MSG_MORE"}
	recvFlags = []string{"MSG_DONTWAIT", "MSG_NOSIGNAL", "MSG_WAITALL", "MSG_TRUNC"}
)

// refusedFlags are flags that have no meaning here, and why.
var refusedFlags = map[string]string{
	"MSG_PEEK":     "what is read is gone",
	"MSG_ERRQUEUE": "there is no queue of errors and timestamps",
	"MSG_ZEROCOPY": "there is no queue of errors and timestamps",
	"MSG_EOR":      "a connection keeps no boundaries of records",
}

// flagNumbers are what Linux has for those of them that scripts write so.
var flagNumbers = []struct {
	bit  int64
	name string
}{
	{0x1, "MSG_OOB"}, {0x2, "MSG_PEEK"}, {0x20, "MSG_TRUNC"}, {0x40, "MSG_DONTWAIT"}, {0x80, "MSG_EOR"}, {0x100, "MSG_WAITALL"},
	{0x2000, "MSG_ERRQUEUE"}, {0x4000, "MSG_NOSIGNAL"}, {0x8000, "MSG_MORE"}, {0x4000000, "MSG_ZEROCOPY"}, {0x20000000, "MSG_FASTOPEN"},
}

// checkFlags says which flag of the call is unknown.
func (t *transfer) checkFlags(known []string) error {
	if t.flags == nil {
		return nil
	}
	if len(t.flags.words) == 0 && !t.flags.isNum {
		return fmt.Errorf("flags are names, or a number")
	}
	for _, f := range flagNumbers {
		if t.flags.number&f.bit != 0 {
			t.flags.words = append(t.flags.words, f.name)
			t.flags.number &^= f.bit
		}
	}
	for _, f := range t.flags.words {
		if why := refusedFlags[f]; why != "" {
			return fmt.Errorf("flag %s: %s", f, why)
		}
		if !slices.Contains(known, f) {
			return fmt.Errorf("no flag %s", f)
		}
	}
	if t.flags.number != 0 {
		return fmt.Errorf("no flag %#x", t.flags.number)
	}
	return nil
}

// notWaiting is set for a call that must not block, and nil for others.
func (s *socket) notWaiting(t *transfer, set deadline) deadline {
	if t.has("MSG_DONTWAIT") {
		return set
	}
	return s.unlessBlocking(set)
}

func callRead(_ *run, s *socket, c *call) (work, deadline, error) {
	t, err := c.transfer()
	if err == nil {
		err = t.checkFlags(recvFlags)
	}
	switch {
	case err != nil:
		return nil, nil, err
	case s.conn == nil && s.deferred:
		return atOnce(0, syscall.EAGAIN), nil, nil
	case s.conn == nil:
		return atOnce(0, syscall.ENOTCONN), nil, nil
	case t.null && t.n > 0 && !t.has("MSG_TRUNC"):
		return atOnce(0, syscall.EFAULT), nil, nil
	}
	get := s.conn.Read
	if t.has("MSG_WAITALL") {
		get = func(p []byte) (int, error) { return io.ReadFull(s.conn, p) }
	}
	read := func() outcome {
		p := make([]byte, t.n)
		n, err := get(p)
		for i, b := range p[:n] {
			if want := peerByte(s.read + i); b != want {
				return outcome{n: n, err: fmt.Errorf("byte %d as %d, not %d", s.read+i, b, want)}
			}
		}
		s.read += n
		if err == io.EOF || n > 0 {
			err = nil
		}
		if err == nil {
			err = s.control(&t)
		}
		return outcome{n: n, err: err}
	}
	return read, s.notWaiting(&t, s.conn.SetReadDeadline), nil
}

// control compares what recvmsg tells besides the text with what the script
// wants: the flags, and TCP_CM_INQ.
func (s *socket) control(t *transfer) error {
	if t.msg == nil {
		return nil
	}
	flags, wanted := t.msg.fields["msg_flags"], t.msg.fields["msg_control"]
	if len(flags.words) > 0 || flags.number != 0 {
		return fmt.Errorf("msg_flags as 0, not %v", flags)
	}
	inq := s.values["TCP_INQ"]
	if inq.number == 0 || inq.isNum && len(wanted.list) == 0 {
		if len(wanted.list) > 0 {
			return fmt.Errorf("no control message")
		}
		return nil
	}
	m := wanted.list[0].fields
	level, typ := m["cmsg_level"], m["cmsg_type"]
	if len(wanted.list) != 1 || !level.is("SOL_TCP") || !typ.is("TCP_CM_INQ") {
		return fmt.Errorf("one control message, of SOL_TCP and TCP_CM_INQ")
	}
	i := s.conn.Info()
	n := i.ReceiveQueue
	if n == 0 && peerHasClosed(i.State) { // a byte for the end, so that somebody reads it
		n = 1
	}
	if int64(n) != m["cmsg_data"].number {
		return fmt.Errorf("TCP_CM_INQ as %d", n)
	}
	return nil
}

// text is what a call writes.
func (s *socket) text(n int) []byte {
	p := make([]byte, n)
	for i := range p {
		p[i] = ourByte(s.written + i)
	}
	return p
}

func callWrite(r *run, s *socket, c *call) (work, deadline, error) {
	t, err := c.transfer()
	if err == nil {
		err = t.checkFlags(sendFlags)
	}
	switch {
	case err != nil:
		return nil, nil, err
	case t.null && t.n > 0:
		return atOnce(0, syscall.EFAULT), nil, nil
	case t.has("MSG_FASTOPEN") && r.cfg.noClient:
		return atOnce(0, syscall.EOPNOTSUPP), nil, nil
	case (t.has("MSG_FASTOPEN") || s.deferred) && s.conn == nil:
		to := netip.AddrPortFrom(r.cfg.remote, r.cfg.connectPort)
		if c.name == "sendto" && !s.deferred {
			if to, err = c.args[4].address(to); err != nil {
				return nil, nil, err
			}
		}
		return r.fastOpen(s, to, s.text(r.fastOpenText(&t, s)), s.nonblock || t.has("MSG_DONTWAIT")), nil, nil
	case s.conn == nil && s.dialling():
		return s.writeWhenOpen(&t), nil, nil
	case s.conn == nil && r.cfg.linux:
		return atOnce(0, syscall.EPIPE), nil, nil
	case s.conn == nil:
		return atOnce(0, syscall.ENOTCONN), nil, nil
	}
	to := s.conn.Write
	if t.has("MSG_OOB") {
		to = s.conn.WriteUrgent
	}
	if s.hold.corked || t.has("MSG_MORE") {
		return atOnce(t.n, s.holdBack(t.n)), nil, nil
	}
	held := s.hold.take()
	p := s.text(held + t.n)
	write := func() outcome {
		n, err := to(p)
		s.written += n
		if n < len(p) {
			s.noSpace = true
		}
		if n > 0 {
			err = nil
		}
		return outcome{n: max(0, n-held), err: err}
	}
	return write, s.notWaiting(&t, s.conn.SetWriteDeadline), nil
}

// fastOpenText is how much a write takes that opens a connection. Where it must
// not wait, Linux takes what goes with the SYN.
func (r *run) fastOpenText(t *transfer, s *socket) int {
	if r.cfg.linux && r.hasCookie && (s.nonblock || t.has("MSG_DONTWAIT")) {
		const options = 40
		return min(t.n, min(r.cfg.offeredMSS(), r.peerMSS)-options)
	}
	return t.n
}

// writeWhenOpen is a write on a socket that is still connecting.
func (s *socket) writeWhenOpen(t *transfer) work {
	if s.nonblock || t.has("MSG_DONTWAIT") {
		return atOnce(0, syscall.EAGAIN)
	}
	d, p := s.dial, s.text(t.n)
	return func() outcome {
		<-d.done
		if d.err != nil {
			return outcome{err: d.err}
		}
		n, err := d.conn.Write(p)
		s.written += n
		return outcome{n: n, err: err}
	}
}
