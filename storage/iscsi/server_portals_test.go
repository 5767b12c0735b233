package iscsi

import (
	"context"
	"errors"
	"fmt"
	"net"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"github.com/seed-012105e5/gonet/storage/scsi"
)

// Several portals and portal groups: a target is told of and reached through those of its
// groups, and each of them has sessions of its own (RFC 7143, 4.4.3 and appendix C).
func TestPortals(t *testing.T) {
	s := &Server{}
	portals := []struct {
		group   uint16
		address string // that initiators are told, if it is another one
		at      string
	}{{group: 1}, {group: 1}, {group: 2, address: "[2001:db8::1]:3260"}}
	for i := range portals {
		l, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		p := &portals[i]
		p.at = l.Addr().String()
		if p.address == "" {
			p.address = p.at
		}
		go s.ServePortal(l, Portal{Group: p.group, Address: p.address})
	}
	defer s.Close()
	told := func(groups ...uint16) (all []string) {
		for _, p := range portals {
			if slices.Contains(groups, p.group) {
				all = append(all, fmt.Sprintf("%s,%d", p.address, p.group))
			}
		}
		slices.Sort(all)
		return all
	}
	targets := map[string][]uint16{testTarget + ":1": {1}, testTarget + ":2": {2}, testTarget + ":all": nil}
	for name, groups := range targets {
		if _, err := s.Add(Target{Name: name, Groups: groups}); err != nil {
			t.Fatal(err)
		}
	}
	d := &Dialer{Random: func(b []byte) { clear(b) }, ReplacementTimeout: -1} // one ISID
	for _, p := range portals {
		found, err := d.Discover(t.Context(), p.at)
		for deadline := time.Now().Add(time.Minute); err == nil && len(found) == 3 && len(found[2].Addresses) < 3 && time.Now().Before(deadline); {
			found, err = d.Discover(t.Context(), p.at) // not all serve yet
		}
		if err != nil || len(found) != 3 {
			t.Fatalf("%+v %v", found, err)
		}
		for _, f := range found {
			groups := targets[f.Name]
			if groups == nil {
				groups = []uint16{1, 2}
			}
			if !slices.Equal(f.Addresses, told(groups...)) {
				t.Errorf("%s is at %v, want %v", f.Name, f.Addresses, told(groups...))
			}
			c, err := d.Session(t.Context(), p.at, f.Name)
			if here := slices.Contains(groups, p.group); (err == nil) != here {
				t.Errorf("%s through group %d: %v", f.Name, p.group, err)
			} else if err != nil {
				var e *LoginError
				if !errors.As(err, &e) || status(uint16(e.Class)<<8|uint16(e.Detail)) != loginNotFound {
					t.Errorf("%v", err)
				}
			} else {
				defer c.Close()
			}
		}
	}
	// Of the two portals of group 1 the second has reinstated the sessions of the first;
	// the one of group 2 has not.
	if n := s.Stats()["Reinstatements"]; n != 2 {
		t.Errorf("%d reinstatements", n)
	}
	var all []SessionInfo
	for deadline := time.Now().Add(time.Minute); len(all) != 4 && time.Now().Before(deadline); time.Sleep(time.Millisecond) {
		// Who has logged in may hear of it before it is listed; discovery sessions may
		// still be ending.
		all = slices.DeleteFunc(s.Sessions(), func(i SessionInfo) bool { return i.Target == "" })
	}
	if len(all) != 4 {
		t.Errorf("%+v", all)
	}
}

// 11.5.1, and what libiscsi's LUNResetSimpleAsync means to do: a WRITE and behind it, at
// once, a LOGICAL UNIT RESET. The WRITE is done or has no response, the reset is
// answered, and the next command hears of it.
func TestLogicalUnitReset(t *testing.T) {
	inBubble(t, &Server{}, Target{}, func(t *testing.T, n *testNet, _ *scsi.Target) {
		for round := range 50 {
			d := n.dialer()
			d.Initiator += fmt.Sprint(round)
			c := n.session(d)
			if err := ready(c, 1); err != nil {
				t.Fatal(err)
			}
			k := c.link0()
			w := &call{header: newHeader(opCommand, flagFinal|flagWrite|attrSimple, 0), out: make([]byte, 8*512), done: make(chan struct{})}
			w.header.setLUN(lun1)
			w.header.setWord(20, uint32(len(w.out)))
			copy(w.header.cdb(), []byte{0x2a, 8: 8, 9: 0}) // WRITE(10)
			if err := k.submit(t.Context(), w); err != nil {
				t.Fatal(err)
			}
			h := newHeader(opTask, flagFinal|tmfUnitReset, 0)
			h[0] |= 0x40
			h.setLUN(lun1)
			reset := &call{header: h, unordered: true}
			if err := k.do(t.Context(), reset); err != nil || reset.answer.response() != tmfComplete {
				t.Fatalf("%v, answer %d", err, reset.answer.response())
			}
			synctest.Wait()
			k.token <- struct{}{}
			if w.answered && w.answer.status() != byte(scsi.Good) {
				t.Errorf("the WRITE ends with status %#x", w.answer.status())
			}
			<-k.token
			r, err := c.Command(context.Background(), 1, []byte{0, 0, 0, 0, 0, 0}, nil, nil)
			if sense, _ := scsi.ParseSense(r.Sense); err != nil || sense.Key != scsi.UnitAttention || sense.Code != scsi.CodeDeviceReset {
				t.Errorf("%v %v", sense, err)
			}
			k.conn.Close()
			c.Close()
			synctest.Wait()
		}
	})
}
