package usbip

import (
	"bytes"
	"errors"
	"math/rand/v2"
	"net/netip"
	"testing"
	"testing/synctest"
	"time"

	"github.com/seed-012105e5/gonet"
	"github.com/seed-012105e5/gonet/link"
	"github.com/seed-012105e5/gonet/storage/block"
)

// TestServerGoNet serves over two stacks of ours, in virtual time, joined by a link that
// loses, doubles and reorders frames: what a host writes at random it reads again, across
// an unplugging.
func TestServerGoNet(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		near, far := link.Pipe(link.PipeConfig{})
		near = link.Impair(near, link.Impairment{Rate: 100e6, Delay: time.Millisecond, Loss: 0.02, Duplicate: 0.01, Reorder: 0.02, Seed: 1})
		stacks := [2]*gonet.Stack{}
		for i, l := range []link.Link{near, far} {
			random := rand.NewChaCha8([32]byte{byte(i)})
			s, err := gonet.New(gonet.Config{Link: l, Addr: netip.MustParsePrefix([]string{"10.0.0.1/24", "10.0.0.2/24"}[i]), Rand: random})
			if err != nil {
				t.Fatal(err)
			}
			defer s.Close()
			stacks[i] = s
		}
		l, err := stacks[1].Listen("tcp", ":"+Port)
		if err != nil {
			t.Fatal(err)
		}
		var s Server
		if err := s.Add("1-1", newDevice(t, block.NewMemory(1<<20))); err != nil {
			t.Fatal(err)
		}
		served := make(chan error)
		go func() { served <- s.Serve(l) }()
		const blocks = 2048
		model := make([]byte, blocks*512)
		random := rand.New(rand.NewPCG(1, 2))
		for range 2 {
			c, err := stacks[0].Dial("tcp", "10.0.0.2:"+Port)
			if err != nil {
				t.Fatal(err)
			}
			h := &host{TB: t, Conn: c}
			if status := h.attach("1-1"); status != opOK {
				t.Fatal(status)
			}
			h.configure()
			for range 60 {
				n := 1 + random.IntN(64)
				at := random.IntN(blocks - n)
				part := model[at*512 : (at+n)*512]
				cdb := []byte{0x28, 0, 0, 0, byte(at >> 8), byte(at), 0, 0, byte(n), 0}
				if random.IntN(2) == 0 {
					cdb[0] = 0x2a
					for i := range part {
						part[i] = byte(random.Uint32())
					}
					if status, _ := h.command(len(part), false, part, cdb...); status != 0 {
						t.Fatalf("WRITE: %d", status)
					}
				} else if status, p := h.command(len(part), true, nil, cdb...); status != 0 || !bytes.Equal(p, part) {
					t.Fatalf("READ of %d blocks at %d: %d, other data", n, at, status)
				}
			}
			if err := s.Unplug("1-1"); err != nil {
				t.Fatal(err)
			}
			if _, err := c.Read(make([]byte, 1)); err == nil {
				t.Error("not unplugged")
			}
			c.Close()
		}
		s.Close()
		if err := <-served; !errors.Is(err, ErrServerClosed) {
			t.Error(err)
		}
	})
}
