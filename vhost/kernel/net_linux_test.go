package kernel_test

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"net"
	"net/netip"
	"time"

	gonet "github.com/seed-012105e5/gonet"
	"github.com/seed-012105e5/gonet/internal/netlink"
	"github.com/seed-012105e5/gonet/internal/testing/guest"
	"github.com/seed-012105e5/gonet/vhost/vnet"
)

// useNet has a stack of ours talk with the kernel's own, over a tap whose frames the
// kernel carries: TCP both ways, with trains and without.
func useNet(in *guest.Inside) error {
	for i, c := range []vnet.Config{{}, {NoOffload: true}} {
		if err := talkOverTap(in, fmt.Sprint("tap", i), c); err != nil {
			return fmt.Errorf("%+v: %w", c, err)
		}
	}
	return nil
}

func talkOverTap(in *guest.Inside, name string, c vnet.Config) error {
	l, err := vnet.OpenTap(name, c)
	if err != nil {
		return err
	}
	if err := setUpTap(l.Name); err != nil {
		return err
	}
	stack, err := gonet.New(gonet.Config{Link: l, Addr: netip.MustParsePrefix("10.9.0.1/24")})
	if err != nil {
		return err
	}
	defer stack.Close()
	ours, err := stack.Listen("tcp", ":7")
	if err != nil {
		return err
	}
	go echo(ours)
	theirs, err := net.Listen("tcp", "10.9.0.2:7")
	if err != nil {
		return err
	}
	defer theirs.Close()
	go echo(theirs)
	ctx, cancel := context.WithTimeout(context.Background(), 2*time.Minute)
	defer cancel()
	var dialer net.Dialer
	for way, dial := range map[string]func() (net.Conn, error){
		"the kernel asks": func() (net.Conn, error) { return dialer.DialContext(ctx, "tcp", "10.9.0.1:7") },
		"we ask":          func() (net.Conn, error) { return stack.DialContext(ctx, "tcp", "10.9.0.2:7") },
	} {
		began := time.Now()
		conn, err := dial()
		if err != nil {
			return fmt.Errorf("%s: %w", way, err)
		}
		if err := echoed(conn); err != nil {
			return fmt.Errorf("%s: %w", way, err)
		}
		in.Tell("net: %s: 1 MB there and back in %v; %d frames received, %d sent", way, time.Since(began).Round(time.Millisecond),
			l.Stats.RxFrames.Load(), l.Stats.TxFrames.Load())
	}
	return nil
}

// setUpTap gives the kernel's end an address.
func setUpTap(name string) error {
	c, err := netlink.Dial()
	if err != nil {
		return err
	}
	defer c.Close()
	card, err := net.InterfaceByName(name)
	if err != nil {
		return err
	}
	if err := c.SetUp(card.Index); err != nil {
		return err
	}
	return c.AddAddr(card.Index, netip.MustParsePrefix("10.9.0.2/24"))
}

// echo sends back what comes.
func echo(l net.Listener) {
	for {
		c, err := l.Accept()
		if err != nil {
			return
		}
		go func() { io.Copy(c, c); c.Close() }()
	}
}

// echoed sends 1 MB, and has them come back.
func echoed(c net.Conn) error {
	defer c.Close()
	c.SetDeadline(time.Now().Add(2 * time.Minute))
	text := pattern(1<<20, 1)
	wrote := make(chan error, 1)
	go func() {
		_, err := c.Write(text)
		if w, ok := c.(interface{ CloseWrite() error }); ok && err == nil {
			err = w.CloseWrite()
		}
		wrote <- err
	}()
	got, err := io.ReadAll(c)
	if err != nil {
		return err
	}
	if !bytes.Equal(got, text) {
		return fmt.Errorf("%d bytes came back, and are others", len(got))
	}
	return <-wrote
}
