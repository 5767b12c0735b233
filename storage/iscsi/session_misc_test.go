package iscsi

import (
	"bytes"
	"strings"
	"testing"
)

// 11.18: NOP both ways.
func TestNOP(t *testing.T) {
	b := newBench(t, nil)
	b.give(b.request(opNopOut, flagFinal, 2, false), []byte("hello"))
	o := b.want(opNopIn)
	if string(o.data) != "hello" || o.header.itt() != 2 || o.header.ttt() != reservedTag || o.header.statSN() != 1001 {
		t.Errorf("%q %+v", o.data, o.header)
	}
	if !b.s.ping() || b.s.ping() {
		t.Error("pings")
	}
	b.take()
	o = b.want(opNopIn)
	if o.header.itt() != reservedTag || o.header.statSN() != 1002 || b.s.statSN != 1002 {
		t.Errorf("StatSN %d, next %d", o.header.statSN(), b.s.statSN)
	}
	h := b.request(opNopOut, flagFinal, reservedTag, true)
	h.setTTT(o.header.ttt())
	b.give(h, nil)
	b.wantNothing()
	if !b.s.ping() {
		t.Error("the answer is not taken")
	}
}

// 11.17: what is rejected, and why.
func TestReject(t *testing.T) {
	for _, c := range []struct {
		name   string
		h      header
		reason byte
	}{
		{"11.16: SNACK", newHeader(opSNACK, flagFinal, 2), rejectSNACK},
		{"11.12: Login", newHeader(opLogin, flagTransit|4|3, 2), rejectProtocol},
		{"11.2.1.2: unknown", newHeader(0x1c, flagFinal, 2), rejectUnsupported},
		{"11.2.1.2: a target's", newHeader(opDataIn, flagFinal, 2), rejectUnsupported},
		{"11.10.2: F and C", newHeader(opText, flagFinal|flagContinue, 2), rejectProtocol},
		{"11.14.1: reason", newHeader(opLogout, flagFinal|5, 2), rejectField},
		{"11.3: tag", newHeader(opCommand, flagFinal, reservedTag), rejectProtocol},
	} {
		b := newBench(t, nil)
		c.h.setCmdSN(b.cmdSN)
		if c.h.opcode() == opText {
			c.h.setTTT(reservedTag)
		}
		b.give(c.h, nil)
		t.Log(c.name)
		b.wantReject(c.reason)
		b.wantNothing()
	}
	b := newBench(t, nil)
	b.hold = true
	b.command(2, read10(0, 1), 512, nil)
	b.command(2, read10(0, 1), 512, nil)
	b.wantReject(rejectProtocol) // a tag that is in use
	h := b.request(opCommand, flagFinal|flagRead, 3, false)
	if err := b.s.receive(&h, []byte{0, 1, 9, 0}, nil, false); err != nil {
		t.Fatal(err)
	}
	b.take()
	b.wantReject(rejectField) // an unknown additional header segment
}

// 4.3: a discovery session has text, NOP and logout only.
func TestDiscoverySession(t *testing.T) {
	for _, op := range []opcode{opCommand, opTask} {
		b := newBench(t, nil)
		b.s.discovery, b.s.nexus = true, nil
		b.give(b.request(op, flagFinal|1, 2, false), nil)
		b.wantReject(rejectProtocol)
	}
}

func (b *bench) textOf(flags byte, ttt uint32, text string) {
	b.t.Helper()
	h := b.request(opText, flags, 2, false)
	h.setTTT(ttt)
	b.give(h, []byte(strings.ReplaceAll(text, " ", "\x00")))
}

// 11.10 and appendix C: text in the full feature phase.
func TestTextRequests(t *testing.T) {
	for _, c := range []struct {
		discovery bool
		text      string
		want      string
	}{
		{false, "SendTargets= ", "TargetName=" + testTarget + " TargetAddress=192.0.2.1:3260,1 "},
		{false, "SendTargets=" + testTarget + " ", "TargetName=" + testTarget + " TargetAddress=192.0.2.1:3260,1 "},
		{false, "SendTargets=All ", "SendTargets=Reject "},
		{true, "SendTargets=iqn.none ", "SendTargets=Reject "},
		{false, "X-com.example.foo=1 ", "X-com.example.foo=NotUnderstood "},
		{false, "MaxBurstLength=512 ", "MaxBurstLength=Reject "},
		{false, "MaxRecvDataSegmentLength=1 ", "MaxRecvDataSegmentLength=Reject "},
		{false, "MaxRecvDataSegmentLength=512 InitiatorAlias=me ", ""},
		{false, "", ""},
	} {
		b := newBench(t, nil)
		b.s.discovery = c.discovery
		b.textOf(flagFinal, reservedTag, c.text)
		o := b.want(opTextResp)
		if got := strings.ReplaceAll(string(o.data), "\x00", " "); got != c.want || !o.header.final() || o.header.ttt() != reservedTag {
			t.Errorf("%q is answered by %q, flags %#x", c.text, got, o.header.flags())
		}
	}
}

// An answer that fits no PDU comes in several, whole (11.11), and so does a question.
func TestTextOverPDUs(t *testing.T) {
	b := newBench(t, func(l *loginTarget, _ *sessionLimits) { l.peerRecv = 512 })
	b.s.discovery = true
	b.textOf(flagContinue, reservedTag, "SendTar")
	o := b.want(opTextResp)
	if o.header.ttt() == reservedTag || len(o.data) > 0 || o.header.final() {
		t.Fatalf("%+v", o.header)
	}
	b.textOf(flagFinal, o.header.ttt(), "gets=All ")
	var text []byte
	for {
		o := b.want(opTextResp)
		text = append(text, o.data...)
		if len(o.data) > 512 {
			t.Fatalf("%d bytes", len(o.data))
		}
		if o.header.final() {
			break
		}
		if o.header.flags() != flagContinue || o.header.ttt() == reservedTag {
			t.Fatalf("flags %#x, TTT %#x", o.header.flags(), o.header.ttt())
		}
		b.textOf(flagFinal, o.header.ttt(), "")
	}
	if n := bytes.Count(text, []byte("TargetName=")); n != 300 {
		t.Errorf("%d targets", n)
	}
	b.textOf(flagFinal, 12345, "")
	b.wantReject(rejectProtocol)
}

// 11.14: logout.
func TestLogout(t *testing.T) {
	for _, c := range []struct {
		reason byte
		cid    uint16
		answer byte
		end    bool
	}{
		{0, 99, logoutDone, true}, {1, 7, logoutDone, true}, {1, 8, logoutNoCID, false}, {2, 7, logoutNoRecovery, false},
	} {
		b := newBench(t, nil)
		b.hold = true
		b.command(2, read10(0, 1), 512, nil)
		h := b.request(opLogout, flagFinal|c.reason, 3, false)
		h.setCID(c.cid)
		b.give(h, nil)
		if c.end {
			b.wantNothing() // before all has ended
			b.hold = false
			b.run() // no response of a task that the logout has ended
			b.s.part()
			b.take()
		}
		o := b.want(opLogoutResp)
		if o.header.response() != c.answer || b.s.ending != c.end || o.header.itt() != 3 {
			t.Errorf("reason %d: answer %d, ends %v", c.reason, o.header.response(), b.s.ending)
		}
		if !c.end {
			b.hold = false
			b.run()
			b.want(opDataIn)
		}
		b.wantEmpty()
	}
}
