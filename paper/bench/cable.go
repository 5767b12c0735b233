package main

import (
	"errors"
	"fmt"
	"net"
	"net/netip"
	"time"

	"github.com/seed-012105e5/gonet/internal/testing/netns"
	"github.com/seed-012105e5/gonet/paper/internal/agent"
	"github.com/seed-012105e5/gonet/paper/internal/subject"
)

// plugIn joins the two namespaces by veths, and gives the client its address on
// each.
func (at *site) plugIn() error {
	if err := skipIndices(at.stack); err != nil {
		return err
	}
	for i := range at.cables() {
		if err := at.plugInOne(subject.NthDevice(subject.Peer, i), subject.NthDevice(subject.Device, i), agent.Nth(clientAddr(), i)); err != nil {
			return err
		}
	}
	return nil
}

func (at *site) plugInOne(peer, device string, addr netip.Prefix) error {
	if err := netns.Veth(at.client, peer, at.stack, device); err != nil {
		return err
	}
	if at.subject.Cable == subject.PlainVeth {
		err := errors.Join(turnOffOffloads(at.client, peer), turnOffOffloads(at.stack, device))
		if err != nil {
			return err
		}
	}
	if err := at.client.AddAddr(peer, addr); err != nil {
		return err
	}
	return errors.Join(awaitRunning(at.client, peer), awaitRunning(at.stack, device))
}

// skipIndices has the next device of a namespace get another index than the
// first of a new one has. A veth whose ends have the same index is not seen to
// be a pair, and the kernel takes up to a second to notice that it is plugged in
// (linkwatch_urgent_event); until then it drops what is sent.
func skipIndices(ns *netns.NS) error {
	if err := netns.Veth(ns, "skip0", ns, "skip1"); err != nil {
		return err
	}
	return ns.Delete("skip0")
}

// runningTime is how long the kernel may take to notice that a device is
// plugged in.
const runningTime = 5 * time.Second

// awaitRunning waits until a device sends.
func awaitRunning(ns *netns.NS, device string) error {
	return ns.Do(func() error {
		for start := time.Now(); time.Since(start) < runningTime; time.Sleep(time.Millisecond) {
			i, err := net.InterfaceByName(device)
			if err != nil {
				return fmt.Errorf("%s: %w", device, err)
			}
			if i.Flags&net.FlagRunning != 0 {
				return nil
			}
		}
		return fmt.Errorf("%s does not run after %v", device, runningTime)
	})
}
