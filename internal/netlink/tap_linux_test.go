package netlink

import (
	"testing"

	"golang.org/x/sys/unix"
)

// linkOf is what the kernel says of an interface, behind the ifinfomsg.
func linkOf(name, kind string, data func(message) message) []byte {
	return message{}.attrString(unix.IFLA_IFNAME, name).attrUint32(unix.IFLA_MTU, 1500).
		nest(unix.IFLA_LINKINFO, func(m message) message {
			return m.attrString(unix.IFLA_INFO_KIND, kind).nest(unix.IFLA_INFO_DATA, data)
		})
}

func TestTapQueues(t *testing.T) {
	several := func(m message) message {
		return m.attr(1, []byte{0, 0, 0, 0}).attr(tunMultiQueue, []byte{1}).attrUint32(tunNumQueues, 1).attrUint32(tunNumDisabledQueues, 2)
	}
	one := func(m message) message { return m.attr(tunMultiQueue, []byte{0}) }
	short := func(m message) message { return m.attr(tunMultiQueue, nil).attr(tunNumQueues, []byte{3}) }
	for _, c := range []struct {
		name  string
		link  []byte
		found bool
		want  Queues
	}{
		{"several", linkOf("tap0", "tun", several), true, Queues{Several: true, Held: 3}},
		{"one", linkOf("tap0", "tun", one), true, Queues{}},
		{"another tap", linkOf("tap1", "tun", several), false, Queues{}},
		{"no tap", linkOf("tap0", "veth", several), true, Queues{}},
		{"short attributes", linkOf("tap0", "tun", short), true, Queues{}},
		{"cut off", linkOf("tap0", "tun", several)[:40], true, Queues{}},
		{"nothing", nil, false, Queues{}},
	} {
		if found, q := tapQueues(c.link, "tap0"); found != c.found || q != c.want {
			t.Errorf("%s: %v, %+v; want %v, %+v", c.name, found, q, c.found, c.want)
		}
	}
}

// FuzzTapQueues: whatever the kernel says, it is read to an end.
func FuzzTapQueues(f *testing.F) {
	f.Add(linkOf("tap0", "tun", func(m message) message { return m.attr(tunMultiQueue, []byte{1}) }))
	f.Add([]byte{4, 0, 3, 0, 3, 0, 1, 0})
	f.Fuzz(func(t *testing.T, link []byte) {
		if found, q := tapQueues(link, "tap0"); !found && q != (Queues{}) {
			t.Errorf("%+v of an interface of another name", q)
		}
	})
}
