package tap

import (
	"context"
	"errors"
	"os"
	"testing"
	"time"

	"github.com/seed-012105e5/gonet/packet"
)

// TestPolled: a loop is called for each frame and at each deadline, sends, and
// ends by Close.
func TestPolled(t *testing.T) {
	eachKind(t, func(t *testing.T, cfg Config) {
		ns := private(t)
		cfg.HostAddr = hostAddr
		var p *Polled
		if err := ns.Do(func() (err error) { p, err = OpenPolled(cfg); return err }); err != nil {
			t.Fatal(err)
		}
		asked, timeUp := make(chan bool, 100), make(chan bool, 100)
		began := time.Now()
		next := began.Add(50 * time.Millisecond)
		turns := 0
		turn := func() (time.Time, bool) {
			turns++
			for b := p.Receive(); b != nil; b = p.Receive() {
				if frame := b.Bytes(); frame[12] == 8 && frame[13] == 6 && len(asked) < cap(asked) {
					asked <- true // ARP asks for the address that the datagram is to
				}
				b.Release()
			}
			if now := time.Now(); !next.IsZero() && !now.Before(next) {
				next = time.Time{}
				b := packet.Get(60)
				copy(b.Extend(60), []byte{0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 2, 0, 0, 0, 0, 9, 0x88, 0xb5})
				p.Send(b)
				timeUp <- true
			}
			return next, turns%3 > 0 // now and then it wants to go on
		}
		ended := make(chan error)
		go func() { ended <- p.Poll(turn) }()

		c, err := ns.Dial(context.Background(), "udp4", "10.0.0.2:9")
		if err != nil {
			t.Fatal(err)
		}
		defer c.Close()
		if _, err := c.Write([]byte("hello")); err != nil {
			t.Fatal(err)
		}
		for what, happened := range map[string]chan bool{"a frame": asked, "the deadline": timeUp} {
			select {
			case <-happened:
			case <-time.After(10 * time.Second):
				t.Fatalf("no turn for %s", what)
			}
		}
		if took := time.Since(began); took < 50*time.Millisecond {
			t.Errorf("the deadline has come after %v", took)
		}
		if err := p.Close(); err != nil {
			t.Error(err)
		}
		select {
		case err := <-ended:
			if !errors.Is(err, os.ErrClosed) {
				t.Errorf("it ends with %v", err)
			}
		case <-time.After(10 * time.Second):
			t.Fatal("Close does not end the loop")
		}
		if n := p.Stats.TxFrames.Load(); n != 1 {
			t.Errorf("%d frames sent", n)
		}
		if turns > 1000 {
			t.Errorf("%d turns: it spins", turns)
		}
	})
}

// TestPolledGone: a loop ends when its device is deleted.
func TestPolledGone(t *testing.T) {
	ns := private(t)
	var p *Polled
	if err := ns.Do(func() (err error) { p, err = OpenPolled(Config{HostAddr: hostAddr}); return err }); err != nil {
		t.Fatal(err)
	}
	ended := make(chan error)
	go func() {
		ended <- p.Poll(func() (time.Time, bool) {
			for b := p.Receive(); b != nil; b = p.Receive() {
				b.Release()
			}
			return time.Time{}, true
		})
	}()
	time.Sleep(20 * time.Millisecond)
	if err := ns.Delete(p.Name); err != nil {
		t.Fatal(err)
	}
	select {
	case err := <-ended:
		if err == nil {
			t.Error("it ends without an error")
		}
	case <-time.After(10 * time.Second):
		t.Fatal("it goes on")
	}
	p.Close()
}
