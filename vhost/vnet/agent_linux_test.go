package vnet

import (
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/netip"
	"os"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/seed-012105e5/gonet/internal/netlink"
	"github.com/seed-012105e5/gonet/internal/testing/guest"
)

// An order is what the host has the guest do; each has one answer.
type order struct {
	Do   string
	Args []string
}

type answer struct{ Text, Error string }

// agent is the job of a guest that does what the host says, until that says "end".
func agent(in *guest.Inside) error {
	a := &agency{in: in}
	in.Tell("%s", "booted")
	for {
		line, err := in.Hear()
		if err != nil {
			return err
		}
		var o order
		if err := json.Unmarshal([]byte(line), &o); err != nil {
			return fmt.Errorf("%q: %w", line, err)
		}
		if o.Do == "end" {
			return nil
		}
		var said answer
		if said.Text, err = a.do(o); err != nil {
			said.Error = err.Error()
		}
		text, err := json.Marshal(said)
		if err != nil {
			return err
		}
		in.Tell("%s", text)
	}
}

// An agency is what an agent knows.
type agency struct {
	in     *guest.Inside
	good   atomic.Int64 // requests that were answered
	worst  atomic.Int64 // how long none was at most, in ms
	failed atomic.Value // the last error of a request, a string
}

func (a *agency) do(o order) (string, error) {
	switch o.Do {
	case "up":
		return "", a.up("eth0", o.Args[0])
	case "address":
		return "", a.address(o.Args[0], o.Args[1])
	case "post":
		return post(&http.Client{Timeout: 2 * time.Minute}, o.Args[0])
	case "run":
		return a.in.Run(o.Args[0], o.Args[1:]...)
	case "read":
		text, err := os.ReadFile(o.Args[0])
		return strings.TrimSpace(string(text)), err
	case "write":
		return "", os.WriteFile(o.Args[0], []byte(o.Args[1]), 0)
	case "zone":
		return pagesOf(o.Args[0])
	case "list":
		all, err := os.ReadDir(o.Args[0])
		var names []string
		for _, e := range all {
			names = append(names, e.Name())
		}
		return strings.Join(names, " "), err
	case "load":
		go a.load(o.Args[0])
		return "", nil
	case "loaded":
		failed, _ := a.failed.Load().(string)
		return fmt.Sprintf("%d %d %s", a.good.Load(), a.worst.Load(), failed), nil
	case "forget":
		a.worst.Store(0)
		return "", nil
	case "reboot":
		return "", unix.Reboot(unix.LINUX_REBOOT_CMD_RESTART)
	}
	return "", fmt.Errorf("there is no %q", o.Do)
}

// pagesOf is how many pages a zone of memory has.
func pagesOf(zone string) (string, error) {
	text, err := os.ReadFile("/proc/zoneinfo")
	_, of, _ := strings.Cut(string(text), "zone "+fmt.Sprintf("%8s", zone)+"\n")
	_, of, _ = strings.Cut(of, "managed")
	fields := strings.Fields(of)
	if err != nil || len(fields) == 0 {
		return "none", err
	}
	return fields[0], nil
}

// address gives a card its address.
func (a *agency) address(name, address string) error {
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
	return c.AddAddr(card.Index, netip.MustParsePrefix(address))
}

// up gives a card its address, and serves HTTP.
func (a *agency) up(name, address string) error {
	if err := a.address(name, address); err != nil {
		return err
	}
	l, err := net.Listen("tcp", ":80")
	if err != nil {
		return err
	}
	go http.Serve(l, http.HandlerFunc(digest))
	return nil
}

// load asks for a page again and again, over a new connection each time.
func (a *agency) load(url string) {
	c := http.Client{Timeout: time.Second, Transport: &http.Transport{DisableKeepAlives: true}}
	for last := time.Now(); ; {
		r, err := c.Get(url)
		if err == nil {
			_, err = io.Copy(io.Discard, r.Body)
			r.Body.Close()
		}
		if err != nil {
			a.failed.Store(err.Error())
			time.Sleep(10 * time.Millisecond)
			continue
		}
		gap := time.Since(last).Milliseconds()
		last = time.Now()
		a.good.Add(1)
		if gap > a.worst.Load() {
			a.worst.Store(gap)
		}
	}
}

// A commanded is a guest whose job is agent, as the host sees it.
type commanded struct {
	t *testing.T
	*guest.Guest
	lines <-chan string
}

// patient is how long a guest may take to do something, on a busy machine.
const patient = 3 * time.Minute

// line waits for one of the guest's lines.
func (c *commanded) line() string {
	c.t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), patient)
	defer cancel()
	select {
	case line, ok := <-c.lines:
		if !ok {
			c.t.Fatal(c.Wait())
		}
		return line
	case <-ctx.Done():
		c.t.Fatal("the guest says nothing")
	}
	return ""
}

// booted waits until the guest takes orders.
func (c *commanded) booted() {
	c.t.Helper()
	if line := c.line(); line != "booted" {
		c.t.Fatalf("%q", line)
	}
}

// say gives an order.
func (c *commanded) say(do string, args ...string) {
	c.t.Helper()
	text, err := json.Marshal(order{do, args})
	if err == nil {
		err = c.Say(string(text))
	}
	if err != nil {
		c.t.Fatal(cmp.Or(err, c.Wait()))
	}
}

// try gives an order, and returns the answer.
func (c *commanded) try(do string, args ...string) (string, error) {
	c.t.Helper()
	c.say(do, args...)
	line := c.line()
	var a answer
	if err := json.Unmarshal([]byte(line), &a); err != nil {
		c.t.Fatalf("%q: %v", line, err)
	}
	if a.Error != "" {
		return a.Text, fmt.Errorf("%s %q: %s", do, args, a.Error)
	}
	return a.Text, nil
}

// do is try for what must not fail.
func (c *commanded) do(do string, args ...string) string {
	c.t.Helper()
	text, err := c.try(do, args...)
	if err != nil {
		c.t.Fatal(err)
	}
	return text
}

// end has the guest end in order.
func (c *commanded) end() {
	c.t.Helper()
	c.say("end")
	if err := c.Wait(); err != nil {
		c.t.Error(err)
	}
}
