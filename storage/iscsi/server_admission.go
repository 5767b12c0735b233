package iscsi

import (
	"fmt"
	"net"
	"net/netip"
	"slices"
	"time"
)

// A sessionKey is what there is one session of (RFC 7143, 4.4.3.1): the initiator port
// and the target portal group.
type sessionKey struct {
	initiator string
	isid      [6]byte
	target    string
	group     uint16
}

// A keeper admits initiators to the server, by one connection.
type keeper struct {
	server *Server
	conn   *serverConn
}

// remoteAddr is the address of the other side, if it has one.
func (c *serverConn) remoteAddr() netip.Addr {
	if a, ok := c.conn.RemoteAddr().(interface{ AddrPort() netip.AddrPort }); ok {
		return a.AddrPort().Addr()
	}
	if a, err := netip.ParseAddrPort(c.conn.RemoteAddr().String()); err == nil {
		return a.Addr()
	}
	return netip.Addr{}
}

// granted are the grants that fit an initiator. Without any everyone has everything.
func granted(all []Access, initiator string, address netip.Addr) []Access {
	if len(all) == 0 {
		return []Access{{}}
	}
	var fit []Access
	for _, a := range all {
		if a.fits(initiator, address) {
			fit = append(fit, a)
		}
	}
	return fit
}

// admit finds the target and what of its Access fits.
func (k *keeper) admit(initiator, target string) (admission, error) {
	s, c := k.server, k.conn
	s.mu.Lock()
	defer s.mu.Unlock()
	access := s.Discovery
	a := admission{portal: c.portal.Group}
	if target != "" {
		t := s.targets[target]
		if t == nil || !t.reachedBy(c.portal.Group) {
			return a, failLogin(loginNotFound, "no target %.250q", target)
		}
		access, a.alias = t.Access, t.Alias
		a.redirect, a.forever = t.Redirect, t.RedirectForever
	}
	if a.grants = granted(access, initiator, c.remoteAddr()); len(a.grants) == 0 {
		return a, failLogin(loginForbidden, "%q from %v", initiator, c.conn.RemoteAddr())
	}
	return a, nil
}

func (t *served) reachedBy(group uint16) bool {
	return len(t.Groups) == 0 || slices.Contains(t.Groups, group)
}

// begin makes room for the session: it ends the one that it takes the place of
// (RFC 7143, 6.3.5), and waits for that.
func (k *keeper) begin(l *loginTarget) (tsih uint16, err error) {
	s, c := k.server, k.conn
	key := sessionKey{l.initiator, l.isid, l.target, c.portal.Group}
	if l.discovery {
		key.target = fmt.Sprint("discovery ", c.serial)
	}
	deadline := time.NewTimer(defaultLoginTimeout)
	defer deadline.Stop()
	k.awaitEnded(key, deadline.C)
	for {
		s.mu.Lock()
		old := s.sessions[key]
		switch {
		case s.closing:
			s.mu.Unlock()
			return 0, failLogin(loginUnavailable, "the server is closing")
		case l.tsih != 0 && (old == nil || old.info.TSIH != l.tsih):
			s.mu.Unlock()
			return 0, failLogin(loginNoSession, "no session %d", l.tsih)
		case l.tsih != 0 && old.cid != l.cid:
			s.mu.Unlock()
			return 0, failLogin(loginTooManyConns, "a second connection of session %d", l.tsih)
		case old == nil:
			tsih, err = k.take(key, l)
			s.mu.Unlock()
			return tsih, err
		}
		s.mu.Unlock()
		s.counters.reinstatements.Add(1)
		old.conn.Close()
		select {
		case <-old.ended:
			l.tsih = 0
		case <-deadline.C:
			return 0, failLogin(loginOutOfResources, "the session before does not end")
		}
	}
}

// awaitEnded waits for sessions of the same initiator and target to end whose connection
// has: who drops a connection and makes another one, under another ISID, then finds free
// what the first had reserved, as in the order of what the initiator did.
func (k *keeper) awaitEnded(key sessionKey, deadline <-chan time.Time) {
	var before []*serverConn
	s := k.server
	s.mu.Lock()
	for other, c := range s.sessions {
		if other.initiator == key.initiator && other.target == key.target && c.process != nil {
			before = append(before, c)
		}
	}
	s.mu.Unlock()
	for _, c := range before {
		if !c.process.over.Load() && !hungUp(c.conn) {
			continue
		}
		select {
		case <-c.ended:
		case <-deadline:
			return
		}
	}
}

// take registers the session under a TSIH that is not in use. The mutex is held.
func (k *keeper) take(key sessionKey, l *loginTarget) (uint16, error) {
	s, c := k.server, k.conn
	if s.sessions == nil {
		s.sessions, s.tsihs = map[sessionKey]*serverConn{}, map[uint16]bool{}
	}
	if len(s.tsihs) >= 1<<16-1 {
		return 0, failLogin(loginOutOfResources, "no TSIH is left")
	}
	if !l.discovery {
		if c.target = s.targets[l.target]; c.target == nil {
			return 0, failLogin(loginNotFound, "no target %.250q", l.target)
		}
	}
	for s.lastTSIH++; s.lastTSIH == 0 || s.tsihs[s.lastTSIH]; s.lastTSIH++ {
	}
	s.tsihs[s.lastTSIH] = true
	s.sessions[key] = c
	c.key, c.cid = key, l.cid
	c.info = SessionInfo{
		Initiator: l.initiator, InitiatorAlias: l.alias, User: l.access.User, Target: l.target,
		ISID: l.isid, TSIH: s.lastTSIH, Remote: c.conn.RemoteAddr(), Since: time.Now(),
	}
	if l.discovery {
		c.info.Target = ""
		s.counters.discoveries.Add(1)
	}
	return s.lastTSIH, nil
}

// release gives back what take has taken.
func (s *Server) release(c *serverConn) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.sessions[c.key] == c {
		delete(s.sessions, c.key)
		delete(s.tsihs, c.info.TSIH)
	}
}

// specified is an address that others can use, or nothing.
func specified(a net.Addr) string {
	if a, err := netip.ParseAddrPort(a.String()); err == nil && a.Addr().IsUnspecified() {
		return ""
	}
	return a.String()
}

// list answers SendTargets (RFC 7143, appendix C): a target, or all, that the initiator
// may see, with the addresses of their portals.
func (s *Server) list(c *serverConn, initiator, name string) (out []pair, ok bool) {
	address := c.remoteAddr()
	s.mu.Lock()
	defer s.mu.Unlock()
	var names []string
	for n, t := range s.targets {
		if (name == "All" || n == name) && len(granted(t.Access, initiator, address)) > 0 {
			names = append(names, n)
		}
	}
	slices.Sort(names)
	for _, n := range names {
		t := s.targets[n]
		out = append(out, pair{"TargetName", n})
		out = append(out, s.addresses(c, t)...)
	}
	return out, name == "All" || len(names) > 0
}

// addresses are those of the portals of t. The mutex is held.
func (s *Server) addresses(c *serverConn, t *served) (out []pair) {
	var all []string
	for _, p := range s.portals {
		a := p.Address
		if a == "" {
			a = s.sameHost(c, p)
		}
		if t.reachedBy(p.Group) {
			all = append(all, fmt.Sprintf("%s,%d", a, p.Group))
		}
	}
	if len(all) == 0 && t.reachedBy(c.portal.Group) {
		all = append(all, fmt.Sprintf("%s,%d", c.local, c.portal.Group))
	}
	slices.Sort(all)
	for _, a := range slices.Compact(all) {
		out = append(out, pair{"TargetAddress", a})
	}
	return out
}

// sameHost is the address of a portal that listens everywhere, as the initiator of c
// can reach it: where it has come to.
func (s *Server) sameHost(c *serverConn, p Portal) string {
	for l, q := range s.portals {
		if q == p {
			_, port, err := net.SplitHostPort(l.Addr().String())
			host, _, err2 := net.SplitHostPort(c.conn.LocalAddr().String())
			if err == nil && err2 == nil {
				return net.JoinHostPort(host, port)
			}
		}
	}
	return c.local
}
