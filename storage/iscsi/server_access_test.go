package iscsi

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/netip"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"github.com/seed-012105e5/gonet/storage/scsi"
)

// Access by name, address, CHAP name, and the units that are seen.
func TestAccess(t *testing.T) {
	other := "iqn.2026-01.org.example:other"
	inBubble(t, &Server{}, Target{Access: []Access{
		{Initiator: other, LUNs: map[int]scsi.Access{1: scsi.ReadOnly}},
		{Networks: []netip.Prefix{netip.MustParsePrefix("192.0.2.0/24")}},
		{User: "joe", Secret: testSecret, LUNs: map[int]scsi.Access{}},
		{Initiator: testInitiator, User: "jim", Secret: "the secret of jim"},
	}}, func(t *testing.T, n *testNet, _ *scsi.Target) {
		for _, c := range []struct {
			name, user, secret string
			ok                 bool
			luns               string
		}{
			{other, "", "", true, "[1]"},
			{testInitiator, "", "", false, ""},
			{testInitiator, "jim", "the secret of jim", true, "[1]"},
			{testInitiator, "joe", testSecret, true, "[]"},
			{testInitiator, "joe", "the secret of jim", false, ""},
			{"iqn.2026-01.org.example:third", "jim", "the secret of jim", false, ""},
		} {
			d := n.dialer()
			d.Initiator, d.User, d.Secret = c.name, c.user, c.secret
			s, err := d.Session(t.Context(), "x", testTarget)
			if (err == nil) != c.ok {
				t.Errorf("%+v: %v", c, err)
			}
			if err != nil {
				continue
			}
			luns, err := s.LUNs(t.Context())
			if err != nil || fmt.Sprint(luns) != c.luns {
				t.Errorf("%+v sees %v, %v", c, luns, err)
			}
			if c.name == other {
				dev, err := s.Open(t.Context(), 1)
				if err != nil || !dev.ReadOnly() {
					t.Errorf("%+v: %v", c, err)
				}
			}
			s.Close()
		}
		d := n.dialer()
		if found, err := d.Discover(t.Context(), "x"); err != nil || len(found) != 1 {
			t.Errorf("%v %v", found, err)
		}
	})
}

func TestAccessByAddress(t *testing.T) {
	for a, want := range map[string]bool{"192.0.2.7": true, "::ffff:192.0.2.7": true, "192.0.3.1": false, "2001:db8::1": true} {
		x := Access{Networks: []netip.Prefix{netip.MustParsePrefix("192.0.2.0/24"), netip.MustParsePrefix("2001:db8::/32")}}
		if x.fits(testInitiator, netip.MustParseAddr(a)) != want {
			t.Errorf("%s: %v", a, !want)
		}
	}
}

// Grants that cannot hold are refused when the target is added.
func TestBadTargets(t *testing.T) {
	long := string(bytes.Repeat([]byte{'a'}, 300))
	for _, bad := range []Target{
		{}, {Name: "disk"}, {Name: "iqn." + long}, {Name: "iqn.a b"}, {Name: testTarget, Alias: long},
		{Name: testTarget, Access: []Access{{Initiator: "joe"}}},
		{Name: testTarget, Access: []Access{{User: "joe", Secret: "short"}}},
		{Name: testTarget, Access: []Access{{User: "joe"}}},
		{Name: testTarget, Access: []Access{{Secret: testSecret}}},
		{Name: testTarget, Access: []Access{{User: "joe", Secret: testSecret, MutualUser: "t", MutualSecret: testSecret}}},
		{Name: testTarget, Access: []Access{{MutualUser: "t", MutualSecret: testSecret}}},
	} {
		if _, err := new(Server).Add(bad); err == nil {
			t.Errorf("%+v is taken", bad)
		}
	}
}

// Targets and units come and go; their initiators are told.
func TestComeAndGo(t *testing.T) {
	inBubble(t, &Server{}, Target{}, func(t *testing.T, n *testNet, units *scsi.Target) {
		events := make(chan Event, 10)
		d := n.dialer()
		d.OnEvent = func(e Event) { events <- e }
		c := n.session(d)
		ready(c, 1)
		u, _ := testUnit(t, 1<<20)
		if err := units.Add(2, u); err != nil {
			t.Fatal(err)
		}
		e := <-events
		if sense, _ := scsi.ParseSense(e.Sense); e.Code != asyncSCSI || sense.Code != scsi.CodeLUNsChanged {
			t.Errorf("%+v", e)
		}
		luns, err := c.LUNs(t.Context())
		if err != nil || !slices.Equal(luns, []int{1, 2}) {
			t.Errorf("%v %v", luns, err)
		}
		if _, err := units.Remove(1); err != nil {
			t.Fatal(err)
		}
		<-events
		if err := ready(c, 1); err == nil {
			t.Error("the unit is still there")
		}
		if _, err := n.server.Add(Target{Name: "iqn.2026-01.org.example:T2"}); err != nil {
			t.Fatal(err)
		}
		if _, err := n.server.Add(Target{Name: "iqn.2026-01.org.example:t2"}); err == nil {
			t.Error("the target is there twice")
		}
		found, err := n.dialer().Discover(t.Context(), "x")
		if err != nil || len(found) != 2 {
			t.Errorf("%v %v", found, err)
		}
		if err := n.server.Remove(t.Context(), testTarget); err != nil {
			t.Error(err)
		}
		if e := <-events; e.Code != asyncLogout {
			t.Errorf("%+v", e)
		}
		<-c.link0().lost
		if _, err := n.dialer().Session(t.Context(), "x", testTarget); err == nil {
			t.Error("the target is still there")
		}
		if got := n.server.Targets(); len(got) != 1 {
			t.Errorf("%v", got)
		}
		c.Close()
	})
}

// link0 is the link there was last.
func (c *Client) link0() *link {
	c.token <- struct{}{}
	defer func() { <-c.token }()
	if c.link == nil {
		k := &link{lost: make(chan struct{})}
		close(k.lost)
		return k
	}
	return c.link
}

// Shutdown lets initiators log out, and cuts those off that do not.
func TestShutdown(t *testing.T) {
	inBubble(t, &Server{}, Target{}, func(t *testing.T, n *testNet, _ *scsi.Target) {
		c := n.session(n.dialer())
		start := time.Now()
		if err := n.server.Shutdown(t.Context()); err != nil || time.Since(start) > time.Second {
			t.Errorf("%v after %v", err, time.Since(start))
		}
		n.wantStat("SessionsEndedByLogout", 1)
		if _, err := n.server.Add(Target{Name: "iqn.x"}); !errors.Is(err, ErrServerClosed) {
			t.Error(err)
		}
		c.Close()
	})
	inBubble(t, &Server{}, Target{}, func(t *testing.T, n *testNet, _ *scsi.Target) {
		conn := n.connect()
		h := say{toFull, names, nil}.header()
		go conn.Write(appendPDU(nil, &h, say{toFull, names, nil}.bytes(), digests{}))
		go io.Copy(io.Discard, conn) // hears, and does nothing
		synctest.Wait()
		start := time.Now()
		if err := n.server.Shutdown(t.Context()); err != nil || time.Since(start) != logoutGrace {
			t.Errorf("%v after %v", err, time.Since(start))
		}
	})
}

// 11.5.1: TARGET COLD RESET ends all sessions of the target.
func TestColdReset(t *testing.T) {
	inBubble(t, &Server{}, Target{}, func(t *testing.T, n *testNet, _ *scsi.Target) {
		a, b := n.session(n.dialer()), n.session(n.dialer())
		ka, kb := a.link, b.link
		h := newHeader(opTask, flagFinal|tmfColdReset, 0)
		h[0] |= 0x40
		ka.do(t.Context(), &call{header: h, unordered: true})
		<-ka.lost
		<-kb.lost
		a.Close()
		b.Close()
	})
}

// A redirected initiator finds the target where it is.
func TestRedirected(t *testing.T) {
	inBubble(t, &Server{}, Target{}, func(t *testing.T, n *testNet, _ *scsi.Target) {
		moved := "iqn.2026-01.org.example:moved"
		if _, err := n.server.Add(Target{Name: moved, Redirect: "other:3260,1"}); err != nil {
			t.Fatal(err)
		}
		var addresses []string
		d := n.dialer()
		d.Dial = func(ctx context.Context, network, address string) (net.Conn, error) {
			addresses = append(addresses, address)
			return n.dial(ctx, network, address)
		}
		if _, err := d.Session(t.Context(), "here", moved); err == nil {
			t.Error("a target that moves for ever is found")
		}
		if len(addresses) != maxRedirects || addresses[0] != "here:3260" || addresses[1] != "other:3260" {
			t.Error(addresses)
		}
	})
}
