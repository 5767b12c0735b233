package dns

import (
	"cmp"
	"context"
	"fmt"
	"math/rand/v2"
	"net"
	"net/netip"
	"slices"
	"time"
)

// Config says whom a resolver asks, and how. The zero value knows the names of
// RFC 6761 alone.
type Config struct {
	// Servers are asked in this order; one that did not answer lately is asked
	// last. Port 0 means 53. Nil means that only Hosts has names.
	Servers []netip.AddrPort

	// Search are the domains that are tried for names that do not end with a
	// dot, as "example.org".
	Search []string

	// Ndots is how many dots a name must have to be tried as it is before it is
	// tried in the domains of Search. 0 means 1.
	Ndots int

	// Hosts are addresses of names that no server is asked for. The case of
	// letters does not matter.
	Hosts map[string][]netip.Addr

	// Timeout is for how long an answer is waited for, at first. It doubles with
	// each round through the servers, up to 10 s. 0 means 2 s, the least that RFC
	// 1035 section 4.2.1 has.
	Timeout time.Duration

	// Attempts is how many rounds there are. 0 means 3.
	Attempts int

	// TCP is the way by which all is asked, also what is short enough for UDP.
	TCP bool

	// CacheEntries is how many answers are kept. 0 means 1024, and less than 0
	// that none is.
	CacheEntries int

	// MinTTL and MaxTTL bound for how long an answer is kept, whatever it says
	// itself. 0 means no floor, as RFC 1035 has it: an answer with a TTL of 0 is
	// used once; and a ceiling of 24 h.
	MinTTL, MaxTTL time.Duration

	// MaxNegativeTTL bounds for how long it is believed that a name does not
	// exist (RFC 2308 section 5). 0 means 15 min.
	MaxNegativeTTL time.Duration

	// MaxLookups is how many lookups may wait for answers. The next fails. 0
	// means 1024.
	MaxLookups int

	// Dial opens a socket to a server, connected by "udp" or "tcp", from a port
	// that cannot be predicted; nil means package net's. A stack sets it.
	Dial func(ctx context.Context, network string, server netip.AddrPort) (net.Conn, error)

	// Random is the source of the queries' ids, 64 random bits a call; nil means
	// math/rand/v2. A stack sets it.
	Random func() uint64
}

// Bounds and defaults of Config.
const (
	defaultTimeout        = 2 * time.Second
	defaultAttempts       = 3
	defaultCacheEntries   = 1024
	defaultMaxTTL         = 24 * time.Hour
	defaultMaxNegativeTTL = 15 * time.Minute
	defaultMaxLookups     = 1024
	maxTimeout            = 10 * time.Second
	serverPort            = 53
)

// Check says what is wrong with c.
func (c *Config) Check() error {
	for _, s := range c.Servers {
		if a := s.Addr(); !a.IsValid() || a.IsUnspecified() || a.IsMulticast() {
			return fmt.Errorf("dns: server %v is no address of a host", s)
		}
	}
	for _, d := range c.Search {
		if _, ok := absolute(d); !ok {
			return fmt.Errorf("dns: search domain %q is no domain name", d)
		}
	}
	for name, addrs := range c.Hosts {
		if _, ok := absolute(name); !ok {
			return fmt.Errorf("dns: host %q is no domain name", name)
		}
		for _, a := range addrs {
			if !a.IsValid() {
				return fmt.Errorf("dns: host %q has an address that is none", name)
			}
		}
	}
	switch {
	case c.Ndots < 0:
		return fmt.Errorf("dns: Ndots %d is less than nothing", c.Ndots)
	case c.Timeout < 0:
		return fmt.Errorf("dns: Timeout %v is less than nothing", c.Timeout)
	case c.Attempts < 0:
		return fmt.Errorf("dns: Attempts %d is less than nothing", c.Attempts)
	case c.MaxLookups < 0:
		return fmt.Errorf("dns: MaxLookups %d is less than nothing", c.MaxLookups)
	case c.MinTTL < 0 || c.MaxTTL < 0 || c.MaxNegativeTTL < 0:
		return fmt.Errorf("dns: MinTTL %v, MaxTTL %v or MaxNegativeTTL %v is less than nothing", c.MinTTL, c.MaxTTL, c.MaxNegativeTTL)
	}
	return nil
}

// withDefaults is c without zeros that mean something else.
func (c Config) withDefaults() Config {
	c.Servers = slices.Clone(c.Servers)
	for i, s := range c.Servers {
		c.Servers[i] = netip.AddrPortFrom(s.Addr().Unmap(), cmp.Or(s.Port(), serverPort))
	}
	c.Search = slices.Clone(c.Search)
	c.Ndots = cmp.Or(c.Ndots, 1)
	c.Timeout = cmp.Or(c.Timeout, defaultTimeout)
	c.Attempts = cmp.Or(c.Attempts, defaultAttempts)
	c.CacheEntries = cmp.Or(c.CacheEntries, defaultCacheEntries)
	c.MaxTTL = cmp.Or(c.MaxTTL, defaultMaxTTL)
	c.MaxNegativeTTL = cmp.Or(c.MaxNegativeTTL, defaultMaxNegativeTTL)
	c.MaxLookups = cmp.Or(c.MaxLookups, defaultMaxLookups)
	if c.Dial == nil {
		c.Dial = func(ctx context.Context, network string, server netip.AddrPort) (net.Conn, error) {
			return new(net.Dialer).DialContext(ctx, network, server.String())
		}
	}
	if c.Random == nil {
		c.Random = rand.Uint64
	}
	return c
}
