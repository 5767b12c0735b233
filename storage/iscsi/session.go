package iscsi

import (
	"encoding/binary"

	"github.com/seed-012105e5/gonet/storage/internal/buffers"
	"github.com/seed-012105e5/gonet/storage/scsi"
)

// A session is the full feature phase of a connection as a target sees it (RFC 7143,
// 4.2 and 6.4): a machine that PDUs and ends of tasks go into, and PDUs and tasks to
// be executed come out of. Nothing in it blocks; it belongs to one goroutine at a
// time. Since there is one connection for each session, it is both.
type session struct {
	limits    sessionLimits
	nexus     *scsi.Nexus // nil in a discovery session
	buffers   *buffers.Pool
	counters  *serverCounters
	targets   func(name string) (list []pair, ok bool) // of SendTargets; all for All
	target    string                                   // its name
	cid       uint16
	discovery bool

	// What was agreed.
	maxSend       int // data of one PDU to the initiator
	firstBurst    int
	maxBurst      int
	maxR2Ts       int
	initialR2T    bool
	immediateData bool
	time2Wait     uint16
	time2Retain   uint16
	maxRecv       int // data of one PDU from the initiator
	digests       digests

	statSN, expCmdSN uint32
	held             map[uint32]heldPDU // requests that came before their turn, by CmdSN
	active           int                // commands that take room of the window
	immediates       int                // immediate commands under way
	functions        []*function        // of task management, under way

	tasks   map[uint32]*task // by initiator task tag
	begun   uint64           // tasks
	ordered int              // tasks that are not SIMPLE
	blocked int              // tasks that wait for others
	placing *task            // whose buffer the next data are read into
	spare   []*task
	memory  int     // bytes that buffers of tasks hold
	starved []*task // that wait for memory, in their order
	lastTTT uint32
	text    textExchange
	pinged  uint32 // target transfer tag of the NOP-In that waits, or reservedTag

	// What came out of the last turn. The caller takes it.
	out     []output
	ready   []*task     // to be executed
	begins  []*function // of task management, that wait for tasks
	ending  bool        // the connection ends when out has been written
	parting *header     // the answer to the Logout that ends the session
	reset   bool        // TARGET COLD RESET: all sessions of the target end
}

// sessionLimits are the bounds of one session.
type sessionLimits struct {
	window     int // commands at once: MaxCmdSN
	immediates int
	functions  int
	memory     int // bytes of buffers
}

// An output is a PDU to be sent. The last one of a task has it, to be given back when
// it has been written.
type output struct {
	header header
	data   []byte
	task   *task
}

// A heldPDU is a request that waits for those before it.
type heldPDU struct {
	header     header
	additional []byte
	data       []byte
}

func newSession(l *loginTarget, limits sessionLimits) *session {
	return &session{
		limits:        limits,
		target:        l.target,
		cid:           l.cid,
		discovery:     l.discovery,
		maxSend:       int(l.peerRecv),
		maxRecv:       int(l.ownRecv),
		firstBurst:    int(l.firstBurst()),
		maxBurst:      int(l.agreed[keyMaxBurst]),
		maxR2Ts:       int(l.agreed[keyMaxOutstandingR2T]),
		initialR2T:    l.agreed[keyInitialR2T] == 1,
		immediateData: l.agreed[keyImmediateData] == 1,
		time2Wait:     uint16(l.agreed[keyTime2Wait]),
		time2Retain:   uint16(l.agreed[keyTime2Retain]),
		digests:       l.digests(),
		statSN:        l.statSN,
		expCmdSN:      l.cmdSN,
		held:          map[uint32]heldPDU{},
		tasks:         map[uint32]*task{},
		pinged:        reservedTag,
	}
}

// maxCmdSN is the last CmdSN that the initiator may use (RFC 7143, 4.2.2.1). It never
// goes back: a command that begins moves ExpCmdSN on as it takes room.
func (s *session) maxCmdSN() uint32 {
	return s.expCmdSN + uint32(s.limits.window-s.active) - 1
}

// before says whether a comes before b (RFC 7143, 4.2.2.1, and RFC 1982).
func before(a, b uint32) bool { return int32(a-b) < 0 }

// place says where the data of the PDU of h should be read to: into the buffer of its
// task. nil is anywhere.
func (s *session) place(h *header) []byte {
	if h.opcode() != opDataOut {
		return nil
	}
	t := s.tasks[h.itt()]
	if t == nil || !t.takes(s, h) {
		return nil
	}
	at, n := int(h.bufferOffset()), h.dataLength()
	if at+n > len(t.out) {
		return nil
	}
	s.placing = t
	return t.out[at : at+n]
}

// receive takes a PDU: its header, additional header segments and data, and whether
// the digest of the data was wrong. An error ends the connection.
func (s *session) receive(h *header, additional, data []byte, bad bool) error {
	op := h.opcode()
	if op == opDataOut {
		return s.dataOut(h, data, bad)
	}
	if bad {
		s.counters.dataDigests.Add(1)
		s.reject(rejectDigest, h)
		return nil
	}
	switch {
	case op == opSNACK: // there is none at level 0 (RFC 7143, 7.1)
		s.reject(rejectSNACK, h)
		return nil
	case op == opLogin: // it is over
		s.reject(rejectProtocol, h)
		return nil
	case op > opLogout:
		s.reject(rejectUnsupported, h)
		return nil
	case h.immediate():
		return s.request(h, additional, data)
	case h.cmdSN() != s.expCmdSN || before(s.maxCmdSN(), s.expCmdSN):
		s.hold(h, additional, data)
		return nil
	}
	s.expCmdSN++
	if err := s.request(h, additional, data); err != nil {
		return err
	}
	return s.resume()
}

// hold keeps a request that came early. One that is outside the window, or has come
// before, is ignored (RFC 7143, 4.2.2.1).
func (s *session) hold(h *header, additional, data []byte) {
	n := h.cmdSN()
	_, twice := s.held[n]
	if before(n, s.expCmdSN) || before(s.maxCmdSN(), n) || twice {
		s.counters.outsideWindow.Add(1)
		return
	}
	s.held[n] = heldPDU{*h, append([]byte(nil), additional...), append([]byte(nil), data...)}
}

// resume does the requests that were held until now.
func (s *session) resume() error {
	for {
		p, ok := s.held[s.expCmdSN]
		if !ok {
			return nil
		}
		delete(s.held, s.expCmdSN)
		s.expCmdSN++
		if p.header[0]&0x3f == opPlug {
			continue
		}
		if err := s.request(&p.header, p.additional, p.data); err != nil {
			return err
		}
	}
}

// opPlug is no opcode: it holds the place of a command that was aborted before it came.
const opPlug = 0x1f

// request does a request whose turn it is.
func (s *session) request(h *header, additional, data []byte) error {
	op := h.opcode()
	if s.discovery && op != opText && op != opLogout && op != opNopOut {
		s.reject(rejectProtocol, h) // RFC 7143, 4.3
		return nil
	}
	switch op {
	case opCommand:
		s.command(h, additional, data)
	case opNopOut:
		s.nopOut(h, data)
	case opTask:
		s.taskManagement(h)
	case opText:
		s.textRequest(h, data)
	case opLogout:
		s.logout(h)
	}
	return nil
}

// send queues a response that has a status sequence number of its own.
func (s *session) send(h header, data []byte, t *task) {
	h.setStatSN(s.statSN)
	s.statSN++
	s.queue(h, data, t)
}

// tell queues a PDU that has none but tells the next (RFC 7143, 11.8.3 and 11.19.2).
func (s *session) tell(h header) {
	h.setStatSN(s.statSN)
	s.queue(h, nil, nil)
}

func (s *session) queue(h header, data []byte, t *task) {
	h.setExpCmdSN(s.expCmdSN)
	h.setMaxCmdSN(s.maxCmdSN())
	h.setDataLength(len(data))
	s.out = append(s.out, output{header: h, data: data, task: t})
}

// Reasons of Reject (RFC 7143, 11.17.1).
const (
	rejectDigest      = 0x02
	rejectSNACK       = 0x03
	rejectProtocol    = 0x04
	rejectUnsupported = 0x05
	rejectImmediate   = 0x06
	rejectField       = 0x09
	rejectLogout      = 0x0c
)

// reject answers a PDU that cannot be taken with its header.
func (s *session) reject(reason byte, bad *header) {
	s.counters.rejects.Add(1)
	h := newHeader(opReject, flagFinal, reservedTag)
	h[2] = reason
	s.send(h, append([]byte(nil), bad[:]...), nil)
}

// nopOut answers a ping, or takes the answer to one (RFC 7143, 11.18).
func (s *session) nopOut(h *header, data []byte) {
	if h.ttt() != reservedTag && h.ttt() == s.pinged {
		s.pinged = reservedTag
	}
	if h.itt() == reservedTag {
		return
	}
	resp := newHeader(opNopIn, flagFinal, h.itt())
	resp.setTTT(reservedTag)
	data = data[:min(len(data), s.maxSend)]
	s.send(resp, append([]byte(nil), data...), nil)
}

// ping asks whether the initiator is there, and says whether it has answered the last
// time (RFC 7143, 11.19).
func (s *session) ping() (answered bool) {
	if s.pinged != reservedTag {
		return false
	}
	s.pinged = s.newTTT()
	h := newHeader(opNopIn, flagFinal, reservedTag)
	h.setTTT(s.pinged)
	s.tell(h)
	return true
}

// newTTT is a target transfer tag that is not in use: they come again after 2^32.
func (s *session) newTTT() uint32 {
	if s.lastTTT++; s.lastTTT == reservedTag {
		s.lastTTT = 0
	}
	return s.lastTTT
}

// Answers to Logout (RFC 7143, 11.15.1).
const (
	logoutDone       = 0
	logoutNoCID      = 1
	logoutNoRecovery = 2
)

// logout ends the session, or its connection, which is the same (RFC 7143, 11.14).
func (s *session) logout(h *header) {
	answer := byte(logoutDone)
	switch reason := h.function(); {
	case reason == 2:
		answer = logoutNoRecovery
	case reason > 2:
		s.reject(rejectField, h)
		return
	case reason == 1 && h.cid() != s.cid:
		answer = logoutNoCID
	}
	resp := newHeader(opLogoutResp, flagFinal, h.itt())
	resp[2] = answer
	binary.BigEndian.PutUint16(resp[40:], s.time2Wait)
	binary.BigEndian.PutUint16(resp[42:], 0) // nothing is retained at level 0
	if answer == logoutDone {
		s.ending, s.parting = true, &resp
		s.abortAll()
		return
	}
	s.send(resp, nil, nil)
}

// part answers the Logout that has ended the session. The answer says that tasks and
// nexus have ended (RFC 7143, 11.15), so it is given when they have.
func (s *session) part() {
	if s.parting != nil {
		s.send(*s.parting, nil, nil)
	}
}

// Events of Asynchronous Messages (RFC 7143, 11.9.1).
const (
	asyncSCSI   = 0 // sense is reported
	asyncLogout = 1 // the initiator is asked to log out
	asyncDrop   = 3 // all connections of the session end
)

// async tells the initiator what it has not asked. seconds are how long it has, for
// asyncLogout.
func (s *session) async(event byte, lun uint64, sense []byte, seconds uint16) {
	h := newHeader(opAsync, flagFinal, reservedTag)
	h.setLUN(lun)
	h[36] = event
	if event == asyncLogout {
		binary.BigEndian.PutUint16(h[42:], seconds)
	}
	var data []byte
	if len(sense) > 0 {
		data = append(binary.BigEndian.AppendUint16(nil, uint16(len(sense))), sense...)
	}
	s.counters.asyncs.Add(1)
	s.send(h, data, nil)
}
