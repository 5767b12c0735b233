package vnet

import (
	"fmt"
	"math/rand/v2"
	"testing"
	"time"

	"github.com/seed-012105e5/gonet/internal/testing/need"
	"github.com/seed-012105e5/gonet/internal/testing/testpmd"
	"github.com/seed-012105e5/gonet/link"
	"github.com/seed-012105e5/gonet/packet"
)

// startTestpmd runs DPDK's testpmd with one device, which forwards in a mode of its.
func startTestpmd(t *testing.T, name, device, mode string, more ...string) *testpmd.Process {
	t.Helper()
	need.Programs(t, testpmd.Program, "stdbuf")
	p, err := testpmd.Start(testpmd.Config{Name: "vnet-" + name, CPU: 0, Devices: []string{device}, Args: append([]string{"--forward-mode=" + mode}, more...)})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(p.Quit)
	return p
}

// TestSwitch has the front end at DPDK's net_vhost, which swaps addresses and sends
// back what it is sent, as a switch's port does that loops: over either kind of rings,
// frames of all lengths that DPDK takes come back whole and in order.
func TestSwitch(t *testing.T) {
	if testing.Short() {
		t.Skip("not with -short: it keeps a CPU busy")
	}
	path := t.TempDir() + "/s"
	p := startTestpmd(t, "switch", "net_vhost0,iface="+path+",queues=1", "macswap", "--auto-start")
	for range 2 { // it takes front ends one after another
		driver, err := Dial(path, Config{})
		if err != nil {
			t.Fatalf("%v\n%s", err, p.Said())
		}
		comeBack(t, driver)
		end(driver)
	}
	c, err := p.Stats(0)
	if err != nil || c.RxPackets == 0 || c.TxPackets == 0 {
		t.Errorf("%+v, %v", c, err)
	}
	t.Logf("%+v", c)
}

// comeBack sends frames to who swaps addresses.
func comeBack(t *testing.T, l link.Link) {
	t.Helper()
	r := rand.New(rand.NewPCG(1, 7))
	const probeLen = 61
	there := false
	for range 600 { // the other side may take a while until it forwards
		if there {
			break
		}
		l.Tx <- packet.From(make([]byte, probeLen))
		select {
		case b := <-l.Rx:
			b.Release()
			there = true
		case <-time.After(100 * time.Millisecond):
		}
	}
	if !there {
		t.Fatal("nothing comes back")
	}
	for _, n := range []int{60, 64, 100, 1000, 1514} {
		sent := frame(r, n, 0)
		want := fmt.Sprintf("%x%x%x", sent.Bytes()[6:12], sent.Bytes()[:6], sent.Bytes()[12:])
		l.Tx <- sent
		got := receive(t, l)
		for got.Len() == probeLen { // they come late
			got.Release()
			got = receive(t, l)
		}
		if fmt.Sprintf("%x", got.Bytes()) != want {
			t.Errorf("%d bytes: %x, want %s", n, got.Bytes(), want)
		}
		got.Release()
	}
}

// TestVirtioUser has DPDK's virtio_user as the front end of a card: it sends bursts, and
// sends on what comes back, so that they circle. Over split rings and packed ones, with
// buffers that merge and without.
func TestVirtioUser(t *testing.T) {
	if testing.Short() {
		t.Skip("not with -short: it keeps a CPU busy")
	}
	path := t.TempDir() + "/s"
	card, err := Listen(path, Config{Report: func(ring int, err error) { t.Logf("ring %d: %v", ring, err) }})
	if err != nil {
		t.Fatal(err)
	}
	stop, stopped := make(chan struct{}), make(chan struct{})
	defer func() { close(stop); <-stopped }()
	go func() {
		defer close(stopped)
		defer end(card)
		for {
			select {
			case b := <-card.Rx:
				card.Tx <- b
			case <-stop:
				return
			}
		}
	}()
	for i, options := range []string{"", ",packed_vq=1", ",mrg_rxbuf=0", ",packed_vq=1,mrg_rxbuf=0,in_order=0"} {
		p := startTestpmd(t, fmt.Sprintf("user%d", i), "net_virtio_user0,path="+path+",queues=1,queue_size=256"+options, "io")
		if _, err := p.Do("start tx_first 2"); err != nil {
			t.Fatal(err)
		}
		const enough = 10 * 64 // each packet some times
		var c testpmd.Counters
		waitFor(t, "packets circle", func() bool {
			if c, err = p.Stats(0); err != nil {
				t.Fatal(err)
			}
			return c.RxPackets > enough
		})
		t.Logf("%q: %+v", options, c)
		p.Quit()
	}
}
