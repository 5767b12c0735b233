package main

import (
	"errors"
	"fmt"
	"net/netip"

	"github.com/seed-012105e5/gonet/internal/testing/netns"
)

// network is the servers that are compared over a network, and has clients run in a
// namespace from which all are reached: two of them at the other end of a veth, two
// behind a tap each. end takes the namespaces away.
func (b *bench) network() (kinds []kind, end func(), err error) {
	near, err := netns.New()
	if err != nil {
		return nil, nil, err
	}
	far, err := netns.New()
	if err != nil {
		near.Close()
		return nil, nil, err
	}
	end = func() { near.Close(); far.Close() }
	err = errors.Join(
		netns.Veth(near, "veth0", far, "veth0"),
		near.AddAddr("veth0", netip.MustParsePrefix("10.1.0.1/24")),
		far.AddAddr("veth0", netip.MustParsePrefix("10.1.0.2/24")),
	)
	if err != nil {
		end()
		return nil, nil, err
	}
	b.near = near.Start
	at := func(address string) func() (string, error) { return func() (string, error) { return address, nil } }
	self := b.protocol.self
	reference := b.protocol.servers()[0]
	reference.address, reference.start = at("10.1.0.2:10809"), far.Start
	kinds = []kind{reference}
	for i, device := range []string{"memory", "null"} {
		kinds = append(kinds,
			kind{name: device + ", veth", command: self(device), address: at(fmt.Sprintf("10.1.0.2:%d", 10810+i)), start: far.Start},
			kind{name: device + ", stack on tap", command: self(device, "-tap", fmt.Sprintf("tap%d", i)), address: at(fmt.Sprintf("10.%d.0.2:10809", 2+i)), start: near.Start})
	}
	return kinds, end, nil
}
