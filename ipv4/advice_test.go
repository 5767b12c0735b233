package ipv4

import (
	"net/netip"
	"testing"
	"time"

	"github.com/seed-012105e5/gonet/ip"
)

// hopOf is the next hop that r has for dst.
func hopOf(t *testing.T, r *router, now time.Time, dst string) string {
	t.Helper()
	hop, ok := r.route(now, addr(dst))
	if !ok {
		t.Fatalf("no route to %s", dst)
	}
	return hop.NextHop.String()
}

// RFC1122-3.2.2.2-2, RFC1122-3.2.2.2-4: a Redirect changes the way to one destination, if it
// comes from the present first hop and names a neighbour.
func TestRedirect(t *testing.T) {
	const dst, gateway = "8.8.8.8", "10.0.1.1" // see twoLinks
	for _, c := range []struct {
		name              string
		dst, from, to     string
		want              bool
		nextHop, nextHop2 string // of dst, and of 8.8.4.4
	}{
		{"good", dst, gateway, "10.0.1.7", true, "10.0.1.7", gateway},
		{"to a neighbour in another network of the link", dst, gateway, "10.0.0.7", true, "10.0.0.7", gateway},
		{"from another", dst, "10.0.1.9", "10.0.1.7", false, gateway, gateway},
		{"to one on another link", dst, gateway, "192.168.7.2", false, gateway, gateway},
		{"to one far away", dst, gateway, "9.9.9.9", false, gateway, gateway},
		{"to ourselves", dst, gateway, "10.0.1.2", false, gateway, gateway},
		{"to all", dst, gateway, "10.0.1.255", false, gateway, gateway},
		{"to a group", dst, gateway, "224.0.0.1", false, gateway, gateway},
		{"to nobody", dst, gateway, "", false, gateway, gateway},
		{"to the same", dst, gateway, gateway, false, gateway, gateway},
		{"about a neighbour", "10.0.1.50", "10.0.1.50", "10.0.1.7", false, gateway, gateway},
		{"about ourselves", "10.0.1.2", "10.0.1.2", "10.0.1.7", false, gateway, gateway},
	} {
		r := newRouter(twoLinks(t))
		got := r.learn(epoch, ip.Advice{Dst: addr(c.dst), From: addr(c.from), Gateway: addr(c.to)})
		if got != c.want || r.plain() == c.want {
			t.Errorf("%s: believed %v", c.name, got)
		}
		if a, b := hopOf(t, r, epoch, dst), hopOf(t, r, epoch, "8.8.4.4"); a != c.nextHop || b != c.nextHop2 {
			t.Errorf("%s: by %s and %s, want %s and %s", c.name, a, b, c.nextHop, c.nextHop2)
		}
	}
}

// RFC1122-3.3.1.2-1, RFC1122-3.3.1.4-2: the cache of routes forgets, and is bounded.
func TestRedirectsAreForgotten(t *testing.T) {
	r := newRouter(twoLinks(t))
	advice := func(now time.Time, dst netip.Addr) {
		if !r.learn(now, ip.Advice{Dst: dst, From: addr("10.0.1.1"), Gateway: addr("10.0.1.7")}) {
			t.Fatalf("redirect of %v is not believed", dst)
		}
	}
	advice(epoch, addr("8.8.8.8"))
	if got := hopOf(t, r, epoch.Add(redirectTimeout-1), "8.8.8.8"); got != "10.0.1.7" {
		t.Errorf("by %s before the timeout", got)
	}
	if got := hopOf(t, r, epoch.Add(redirectTimeout), "8.8.8.8"); got != "10.0.1.1" || !r.plain() {
		t.Errorf("by %s after the timeout", got)
	}
	for i := range 2 * maxRedirects {
		advice(epoch.Add(time.Duration(i)), netip.AddrFrom4([4]byte{8, 9, byte(i >> 8), byte(i)}))
	}
	if len(r.redirects) != maxRedirects || hopOf(t, r, epoch, "8.9.0.0") != "10.0.1.1" || hopOf(t, r, epoch, "8.9.1.255") != "10.0.1.7" {
		t.Errorf("%d redirects are kept; the newest should be", len(r.redirects))
	}
}

// RFC1122-3.3.1.2-4, RFC1122-3.3.1.4-1, RFC1122-3.3.1.5: another default gateway takes
// over for a dead one, and the preferred one is tried again after some time.
func TestDeadGateway(t *testing.T) {
	const first, second = "10.0.1.1", "192.168.7.2"
	r := newRouter(twoLinks(t))
	for _, c := range []struct {
		name  string
		after time.Duration
		dead  string
		want  bool
		by    string
	}{
		{"a neighbour is no gateway", 0, "10.0.0.50", false, first},
		{"own address", 0, "10.0.0.2", false, first},
		{"nobody", 0, "", false, first},
		{"first", 0, first, true, second},
		{"second too: the preferred one is as good as any", time.Second, second, true, first},
		{"first may be back", deadTimeout, "", false, first},
		{"first is still dead, and second may be back", deadTimeout + time.Second, first, true, second},
	} {
		now := epoch.Add(c.after)
		if got := r.learn(now, ip.Advice{Gateway: addr(c.dead)}); got != c.want {
			t.Errorf("%s: taken %v", c.name, got)
		}
		if got := hopOf(t, r, now, "8.8.8.8"); got != c.by {
			t.Errorf("%s: by %s, want %s", c.name, got, c.by)
		}
	}
	if hop, _ := r.route(epoch.Add(deadTimeout+time.Second), addr("8.8.8.8")); hop.Link != 1 || hop.MTU != 9000 {
		t.Errorf("the other gateway is on another link: %+v", hop)
	}
	if got := hopOf(t, r, epoch.Add(deadTimeout+time.Second), "10.0.1.1"); got != first {
		t.Errorf("the gateway itself is reached by %s", got)
	}
}

// RFC1122-3.3.1.4-6, MUST-20: when TCP finds a path dead, what goes to that
// destination takes the next gateway, and nothing else does.
func TestDeadPath(t *testing.T) {
	const first, second = "10.0.1.1", "192.168.7.2"
	r := newRouter(twoLinks(t))
	for _, c := range []struct {
		name string
		dst  string
		want bool
		by   string
	}{
		{"a neighbour has no gateway", "10.0.0.9", false, "10.0.0.9"},
		{"the first fails", "8.8.8.8", true, second},
		{"the second too: back to the first", "8.8.8.8", true, first},
		{"and again", "8.8.8.8", true, second},
	} {
		if got := r.learn(epoch, ip.Advice{Dst: addr(c.dst)}); got != c.want {
			t.Errorf("%s: taken %v", c.name, got)
		}
		if got := hopOf(t, r, epoch, c.dst); got != c.by {
			t.Errorf("%s: by %s, want %s", c.name, got, c.by)
		}
	}
	if got := hopOf(t, r, epoch, "9.9.9.9"); got != first {
		t.Errorf("another destination is reached by %s", got)
	}
	r.learn(epoch, ip.Advice{Gateway: addr(second)}) // which forgets the way by it
	if got := hopOf(t, r, epoch, "8.8.8.8"); got != first || r.learn(epoch, ip.Advice{Dst: addr("8.8.8.8")}) {
		t.Errorf("by %s, though the other gateway is dead", got)
	}
}

// What is over is forgotten, and routing is as fast as before.
func TestDeadGatewayIsForgotten(t *testing.T) {
	r := newRouter(twoLinks(t))
	r.learn(epoch, ip.Advice{Gateway: addr("10.0.1.1")})
	if hopOf(t, r, epoch.Add(deadTimeout), "8.8.8.8"); !r.plain() {
		t.Error("a gateway that may be back is still held for dead")
	}
}

// A redirect to a gateway which then dies is forgotten.
func TestDeadRedirect(t *testing.T) {
	r := newRouter(twoLinks(t))
	r.learn(epoch, ip.Advice{Dst: addr("8.8.8.8"), From: addr("10.0.1.1"), Gateway: addr("10.0.1.7")})
	if !r.learn(epoch, ip.Advice{Gateway: addr("10.0.1.7")}) || !r.plain() || hopOf(t, r, epoch, "8.8.8.8") != "10.0.1.1" {
		t.Error("the redirect has outlived its gateway")
	}
}
