package iscsi

import (
	"bufio"
	"io"
	"testing"
	"testing/synctest"
	"time"

	"github.com/seed-012105e5/gonet/storage/scsi"
)

// Phases in which FuzzServer throws bytes at a server.
const (
	phaseLogin = iota
	phaseDiscovery
	phaseFull
	phaseDigests // full feature, with digests
	fuzzPhases
)

// FuzzServer throws bytes at a live target in each phase: it stays of use to others, and
// keeps nothing of the connection when that is over.
func FuzzServer(f *testing.F) {
	login := say{toFull, names, nil}
	h := login.header()
	f.Add(byte(phaseLogin), appendPDU(nil, &h, login.bytes(), digests{}), true)
	h = newHeader(opText, flagFinal, 3)
	h.setCmdSN(10)
	h.setTTT(reservedTag)
	f.Add(byte(phaseDiscovery), appendPDU(nil, &h, []byte("SendTargets=All\x00"), digests{}), true)
	for _, d := range []digests{{}, {header: true, data: true}} {
		h = newHeader(opCommand, flagFinal|flagWrite|attrSimple, 2)
		h.setCmdSN(10)
		h.setLUN(lun1)
		h.setWord(20, 1024)
		copy(h.cdb(), write10(0, 2))
		b := appendPDU(nil, &h, pattern(512), d)
		h = newHeader(opTask, flagFinal|tmfUnitReset, 3)
		h[0] |= 0x40
		h.setLUN(lun1)
		b = appendPDU(b, &h, nil, d)
		h = newHeader(opCommand, flagFinal|flagRead|attrSimple, 4)
		h.setCmdSN(11)
		h.setLUN(lun1)
		h.setWord(20, 512)
		copy(h.cdb(), read10(0, 1))
		b = appendPDU(b, &h, nil, d)
		h = newHeader(opLogout, flagFinal, 5)
		h.setCmdSN(12)
		b = appendPDU(b, &h, nil, d)
		phase := byte(phaseFull)
		if d.header {
			phase = phaseDigests
		}
		f.Add(phase, b, false)
	}
	f.Fuzz(func(t *testing.T, phase byte, stream []byte, hangsUp bool) {
		inBubble(t, &Server{LoginTimeout: time.Minute, PingInterval: time.Minute, MaxMemory: 1 << 20}, Target{}, func(t *testing.T, n *testNet, _ *scsi.Target) {
			conn := n.connect()
			in := bufio.NewReader(conn)
			if s := fuzzLogin(phase % fuzzPhases); s != nil {
				h := s.header()
				go conn.Write(appendPDU(nil, &h, s.bytes(), digests{}))
				r := &reader{in: in, maxData: 8192}
				if _, err := r.header(&h); err != nil || h.loginStatus() != loginSuccess {
					t.Fatalf("%v %v", h.loginStatus(), err)
				}
				r.data(make([]byte, h.dataLength()))
			}
			go io.Copy(io.Discard, in)
			conn.SetWriteDeadline(time.Now().Add(time.Minute))
			conn.Write(stream)
			synctest.Wait()
			good := n.session(n.dialer())
			if err := ready(good, 1); err != nil {
				t.Error(err)
			}
			good.Close()
			if hangsUp {
				conn.Close()
			} else {
				time.Sleep(5 * time.Minute) // it is given up
				conn.Close()
			}
			synctest.Wait()
			n.wantStat("ConnectionsOpen", 0)
			n.wantStat("SessionsOpen", 0)
		})
	})
}

// fuzzLogin is how the phase is reached.
func fuzzLogin(phase byte) *say {
	switch phase {
	case phaseDiscovery:
		return &say{toFull, "SessionType=Discovery InitiatorName=" + testInitiator, nil}
	case phaseFull:
		return &say{toFull, names, nil}
	case phaseDigests:
		return &say{toFull, names + " HeaderDigest=CRC32C DataDigest=CRC32C", nil}
	}
	return nil
}
