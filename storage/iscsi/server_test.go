package iscsi

import (
	"bufio"
	"bytes"
	"context"
	"io"
	"net"
	"testing"
	"testing/synctest"
	"time"

	"github.com/seed-012105e5/gonet/storage/scsi"
)

// A testNet connects dialers to a server by pipes.
type testNet struct {
	t      *testing.T
	server *Server
}

// inBubble runs f in virtual time with a server that has testTarget with LUN 1 of 4 MiB.
func inBubble(t *testing.T, s *Server, target Target, f func(t *testing.T, n *testNet, units *scsi.Target)) {
	synctest.Test(t, func(t *testing.T) {
		target.Name = testTarget
		units, err := s.Add(target)
		if err != nil {
			t.Fatal(err)
		}
		u, _ := testUnit(t, 4<<20)
		if err := units.Add(1, u); err != nil {
			t.Fatal(err)
		}
		n := &testNet{t: t, server: s}
		f(t, n, units)
		s.Close()
		synctest.Wait()
		for name, v := range s.Stats() {
			if v > 0 && (name == "ConnectionsOpen" || name == "SessionsOpen") {
				t.Errorf("%s is %d", name, v)
			}
		}
		if w := s.workers.Load(); w != 0 {
			t.Errorf("%d workers are accounted", w)
		}
	})
}

// connect is a connection to the server.
func (n *testNet) connect() net.Conn {
	near, far := net.Pipe()
	go n.server.ServeConn(far)
	return near
}

func (n *testNet) dial(context.Context, string, string) (net.Conn, error) { return n.connect(), nil }

func (n *testNet) dialer() *Dialer {
	return &Dialer{Initiator: testInitiator, Dial: n.dial, ReplacementTimeout: -1}
}

// session logs in or fails.
func (n *testNet) session(d *Dialer) *Client {
	n.t.Helper()
	c, err := d.Session(n.t.Context(), "x", testTarget)
	if err != nil {
		n.t.Fatal(err)
	}
	synctest.Wait() // the server knows the session
	return c
}

// ready does TEST UNIT READY until the unit attentions are told.
func ready(c *Client, lun int) error {
	d := &Device{client: c, lun: lun}
	_, err := d.do(context.Background(), []byte{0, 0, 0, 0, 0, 0}, nil, nil)
	return err
}

func (n *testNet) wantStat(name string, want uint64) {
	n.t.Helper()
	if got := n.server.Stats()[name]; got != want {
		n.t.Errorf("%s is %d, want %d\n%v", name, got, want, n.server.Stats())
	}
}

// A login that is not finished ends after its time, wherever it stops.
func TestHalfLogins(t *testing.T) {
	h := say{toFull, names, nil}.header()
	whole := appendPDU(nil, &h, say{toFull, names, nil}.bytes(), digests{})
	inBubble(t, &Server{}, Target{}, func(t *testing.T, n *testNet, _ *scsi.Target) {
		for _, cut := range []int{0, 1, 47, 48, 60, len(whole) - 1} {
			conn := n.connect()
			start := time.Now()
			conn.Write(whole[:cut])
			if _, err := conn.Read(make([]byte, 1)); err != io.EOF {
				t.Errorf("after %d bytes: %v", cut, err)
			}
			if took := time.Since(start); took != defaultLoginTimeout {
				t.Errorf("after %d bytes it took %v", cut, took)
			}
		}
		n.wantStat("LoginTimeouts", 6)
	})
}

// Who opens connections and says nothing keeps nobody out.
func TestLoginFlood(t *testing.T) {
	inBubble(t, &Server{MaxLogins: 8, MaxConns: 20}, Target{}, func(t *testing.T, n *testNet, _ *scsi.Target) {
		for range 100 {
			n.connect()
			synctest.Wait()
		}
		c := n.session(n.dialer())
		if err := ready(c, 1); err != nil {
			t.Error(err)
		}
		n.wantStat("ConnectionsOpen", 8)
		n.wantStat("LoginsEvicted", 93)
		c.Close()
	})
}

func TestMaxConns(t *testing.T) {
	inBubble(t, &Server{MaxConns: 3}, Target{}, func(t *testing.T, n *testNet, _ *scsi.Target) {
		for range 3 {
			defer n.session(n.dialer()).Close()
		}
		if _, err := n.dialer().Session(t.Context(), "x", testTarget); err == nil {
			t.Error("a fourth connection is served")
		}
		n.wantStat("ConnectionsRefused", 1)
	})
}

// What cannot be a PDU ends the connection, and nothing else.
func TestGarbage(t *testing.T) {
	inBubble(t, &Server{}, Target{}, func(t *testing.T, n *testNet, _ *scsi.Target) {
		good := n.session(n.dialer())
		defer good.Close()
		for _, p := range [][]byte{bytes.Repeat([]byte{0xff}, 300), make([]byte, 300), []byte("GET / HTTP/1.1\r\nHost: example.org\r\n\r\n.............")} {
			conn := n.connect()
			go conn.Write(p)
			io.Copy(io.Discard, conn)
			conn.Close()
		}
		for _, p := range [][]byte{bytes.Repeat([]byte{0xff}, 300)} { // in the full feature phase
			c := n.session(n.dialer())
			k := c.link
			k.conn.Write(p)
			<-k.lost
			c.Close()
		}
		if err := ready(good, 1); err != nil {
			t.Error(err)
		}
	})
}

// An initiator that has gone without a word is given up, and one that is idle is not.
func TestSilentInitiator(t *testing.T) {
	inBubble(t, &Server{PingInterval: time.Minute}, Target{}, func(t *testing.T, n *testNet, _ *scsi.Target) {
		idle := n.session(n.dialer())
		defer idle.Close()
		conn := n.connect()
		h := say{toFull, names, nil}.header()
		go conn.Write(appendPDU(nil, &h, say{toFull, names, nil}.bytes(), digests{}))
		r := &reader{in: conn, maxData: 8192}
		r.header(&h)
		r.data(make([]byte, h.dataLength()))
		start := time.Now()
		r.header(&h) // the ping
		if h.opcode() != opNopIn || time.Since(start) > 2*time.Minute {
			t.Fatalf("%v after %v", h.opcode(), time.Since(start))
		}
		if _, err := r.header(&h); err != io.EOF || time.Since(start) > 4*time.Minute {
			t.Fatalf("%v %v after %v", h.opcode(), err, time.Since(start))
		}
		synctest.Wait()
		n.wantStat("SessionsTimedOut", 1)
		time.Sleep(time.Hour)
		if err := ready(idle, 1); err != nil {
			t.Error(err)
		}
	})
}

// An initiator that takes no responses is given up, and holds a bounded amount.
func TestSlowReader(t *testing.T) {
	inBubble(t, &Server{PingInterval: time.Minute}, Target{}, func(t *testing.T, n *testNet, _ *scsi.Target) {
		d := n.dialer()
		d.PingInterval = 24 * time.Hour
		c := n.session(d)
		k := c.link
		ready(c, 1)
		conn := k.conn
		k.token <- struct{}{} // the reader of the link stops
		sn := k.cmdSN
		go func() {
			for i := range uint32(1 << 20) {
				h := newHeader(opNopOut, flagFinal, 100+i)
				h.setTTT(reservedTag)
				h[0] |= 0x40
				h.setCmdSN(sn)
				if _, err := conn.Write(appendPDU(nil, &h, nil, digests{})); err != nil {
					return
				}
			}
		}()
		time.Sleep(10 * time.Minute)
		n.wantStat("SessionsTimedOut", 1)
		<-k.token
		c.Close()
	})
}

// 6.3.5: a login of the same ports takes the place of the session, whose commands end.
func TestReinstatement(t *testing.T) {
	inBubble(t, &Server{}, Target{}, func(t *testing.T, n *testNet, _ *scsi.Target) {
		random := func(b []byte) { clear(b) }
		d := n.dialer()
		d.Random = random
		old := n.session(d)
		if err := ready(old, 1); err != nil {
			t.Fatal(err)
		}
		k := old.link
		c := n.session(d)
		<-k.lost
		r, err := c.Command(t.Context(), 1, []byte{0, 0, 0, 0, 0, 0}, nil, nil)
		sense, _ := scsi.ParseSense(r.Sense)
		if err != nil || sense.Key != scsi.UnitAttention {
			t.Errorf("%v %v", sense, err)
		}
		if all := n.server.Sessions(); len(all) != 1 || all[0].Initiator != testInitiator {
			t.Errorf("%+v", all)
		}
		n.wantStat("Reinstatements", 1)
		c.Close()
		old.Close()
	})
}

// 4.4.3 and 6.3: what TSIH and CID may be.
func TestTSIH(t *testing.T) {
	inBubble(t, &Server{}, Target{}, func(t *testing.T, n *testNet, _ *scsi.Target) {
		try := func(tsih, cid uint16) (status, uint16, net.Conn) {
			conn := n.connect()
			h := say{toFull, names, nil}.header()
			h.setTSIH(tsih)
			h.setCID(cid)
			go conn.Write(appendPDU(nil, &h, say{toFull, names, nil}.bytes(), digests{}))
			r := &reader{in: bufio.NewReader(conn), maxData: 8192}
			if _, err := r.header(&h); err != nil {
				t.Fatal(err)
			}
			go io.Copy(io.Discard, r.in)
			return h.loginStatus(), h.tsih(), conn
		}
		s, tsih, _ := try(0, 1)
		if s != loginSuccess || tsih == 0 {
			t.Fatal(s, tsih)
		}
		if s, _, _ := try(tsih+1, 1); s != loginNoSession {
			t.Errorf("an unknown TSIH: %v", s)
		}
		if s, _, _ := try(tsih, 2); s != loginTooManyConns {
			t.Errorf("another connection: %v", s)
		}
		if s, again, _ := try(tsih, 1); s != loginSuccess || again == 0 {
			t.Errorf("the connection again: %v", s)
		}
		synctest.Wait()
		if len(n.server.Sessions()) != 1 {
			t.Errorf("%+v", n.server.Sessions())
		}
	})
}

// 11.15: the answer to a Logout is given though somebody is still writing when the session
// ends.
func TestLogoutBehindPing(t *testing.T) {
	inBubble(t, &Server{PingInterval: time.Minute}, Target{}, func(t *testing.T, n *testNet, _ *scsi.Target) {
		conn := n.connect()
		defer conn.Close()
		h := say{toFull, names, nil}.header()
		go conn.Write(appendPDU(nil, &h, say{toFull, names, nil}.bytes(), digests{}))
		r := &reader{in: conn, maxData: 8192}
		r.header(&h)
		r.data(make([]byte, h.dataLength()))
		time.Sleep(90 * time.Second) // a ping that is not taken is being written
		logout := newHeader(opLogout, flagFinal, 6)
		logout.setCmdSN(10)
		conn.Write(appendPDU(nil, &logout, nil, digests{}))
		synctest.Wait()
		for _, want := range []opcode{opNopIn, opLogoutResp} {
			if _, err := r.header(&h); err != nil || h.opcode() != want {
				t.Fatalf("%v %v, want %v", h.opcode(), err, want)
			}
		}
	})
}
