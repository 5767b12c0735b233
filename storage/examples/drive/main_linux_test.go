package main

import (
	"bufio"
	"bytes"
	"context"
	"crypto/sha256"
	"crypto/tls"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/seed-012105e5/gonet/internal/testing/netns"
	"github.com/seed-012105e5/gonet/storage/examples/internal/testing/programtest"
	"github.com/seed-012105e5/gonet/storage/nbd"
)

// A child is the program, running.
type child struct {
	t        *testing.T
	command  *exec.Cmd
	ns       *netns.NS // where it runs; nil: in that of the test
	user     bool      // it is run by an ordinary user
	base     string    // URL
	password string
	export   string // URL
	lun      string // URL
	usbip    string // address
	redir    string // address
	client   *http.Client
	print    string // the fingerprint of its certificate
}

// dial connects to an address where the program is.
func (c *child) dial(ctx context.Context, network, address string) (net.Conn, error) {
	if c.ns != nil {
		return c.ns.Dial(ctx, network, address)
	}
	return new(net.Dialer).DialContext(ctx, network, address)
}

// interrupt ends the program as Ctrl-C does.
func (c *child) interrupt() error {
	if err := c.command.Process.Signal(os.Interrupt); err != nil {
		return err
	}
	return c.command.Wait()
}

// start starts the program on ports that are free, and reads where it is.
func start(t *testing.T, dir, password string) *child {
	t.Helper()
	return startWith(t, &child{t: t, password: password}, "iscsi://", "-listen", "127.0.0.1:0", "-nbd", "127.0.0.1:0", "-iscsi", "127.0.0.1:0",
		"-store", dir, "-sync-every", "256K", "-fetch-private")
}

// startWith starts the program with arguments, and reads what it says up to a line that
// begins so.
func startWith(t *testing.T, c *child, last string, args ...string) *child {
	t.Helper()
	t.Cleanup(c.kill)
	if err := c.launch(t.Context(), last, args...); err != nil {
		t.Fatal(err)
	}
	return c
}

// launch is startWith, for who has no test.
func (c *child) launch(ctx context.Context, last string, args ...string) error {
	c.command = programtest.Command(ctx, args...)
	var complaints bytes.Buffer
	c.command.Stderr = &complaints
	out, err := c.command.StdoutPipe()
	if err != nil {
		return err
	}
	if c.user {
		programtest.AsUser(c.command)
	}
	begin := c.command.Start
	if c.ns != nil {
		begin = func() error { return c.ns.Start(c.command) }
	}
	if err := begin(); err != nil {
		return err
	}
	lines := bufio.NewScanner(out)
	for !strings.HasPrefix(lines.Text(), last) {
		if !lines.Scan() {
			return fmt.Errorf("the program ended: %w: %s", c.command.Wait(), complaints.String())
		}
		switch line := lines.Text(); {
		case strings.HasPrefix(line, "https://"), strings.HasPrefix(line, "http://"):
			c.base = strings.TrimSuffix(line, "/")
		case strings.HasPrefix(line, "nbd://"):
			c.export = line
		case strings.HasPrefix(line, "iscsi://"):
			c.lun = line
		case strings.HasPrefix(line, "usbip at "):
			c.usbip = strings.TrimSuffix(strings.Fields(line)[2], ",")
		case strings.HasPrefix(line, "usbredir at "):
			c.redir = strings.TrimSuffix(strings.Fields(line)[2], ",")
		case strings.HasPrefix(line, "user admin, password "):
			c.password = strings.Fields(line)[3]
		case strings.HasPrefix(line, "certificate SHA-256 "):
			c.print = strings.Fields(line)[2]
		}
	}
	go io.Copy(io.Discard, out)
	c.client = &http.Client{Transport: &http.Transport{DialContext: c.dial, TLSClientConfig: &tls.Config{InsecureSkipVerify: true, VerifyConnection: func(s tls.ConnectionState) error {
		sum := strings.ToUpper(strings.ReplaceAll(fmt.Sprintf("% x", sha256.Sum256(s.PeerCertificates[0].Raw)), " ", ":"))
		if sum != c.print {
			return errors.New("this is another certificate than the one that was printed")
		}
		return nil
	}}}}
	return nil
}

// kill ends the program as kill -9 does.
func (c *child) kill() {
	if c.command != nil && c.command.Process != nil {
		c.command.Process.Kill()
		c.command.Wait()
	}
}

// call makes a call; the error is that of the connection, or what the API says.
func (c *child) call(method, path string, body io.Reader) (map[string]any, error) {
	r, err := http.NewRequest(method, c.base+"/api/"+path, body)
	if err != nil {
		return nil, err
	}
	r.SetBasicAuth("admin", c.password)
	answer, err := c.client.Do(r)
	if err != nil {
		return nil, err
	}
	defer answer.Body.Close()
	var e struct {
		OK     bool
		Result map[string]any
	}
	if err := json.NewDecoder(answer.Body).Decode(&e); err != nil {
		return nil, err
	}
	if !e.OK {
		return nil, fmt.Errorf("%v: %v", e.Result["error"], e.Result["error_msg"])
	}
	return e.Result, nil
}

// A state is what a test reads of GET /msd.
type state struct {
	Drive struct {
		Connected, RW bool
		Image         *struct{ Name string }
	}
	Storage struct {
		Images  map[string]struct{ Complete bool }
		Uploads map[string]struct{ Written int64 }
	}
}

func (c *child) state() state {
	c.t.Helper()
	result, err := c.call("GET", "msd", nil)
	if err != nil {
		c.t.Fatal(err)
	}
	s, err := stateOf(result)
	if err != nil {
		c.t.Fatal(err)
	}
	return s
}

func stateOf(result map[string]any) (s state, err error) {
	text, err := json.Marshal(result)
	if err != nil {
		return s, err
	}
	return s, json.Unmarshal(text, &s)
}

// TestKilled kills the program at random instants of uploads, removals and connections, and
// starts it again: images are whole, uploads go on to their end, and the drive is as it was.
func TestKilled(t *testing.T) {
	rounds := 6
	if testing.Short() {
		rounds = 3
	}
	if os.Getenv("GONET_LONG") != "" {
		rounds = 60
	}
	dir := filepath.Join(t.TempDir(), "store")
	r := rand.New(rand.NewPCG(3, 4))
	data := make([]byte, 3<<20)
	for i := range data {
		data[i] = byte(r.Uint32())
	}
	c := start(t, dir, "")
	password := c.password
	var whole, removed map[string]bool
	whole, removed = map[string]bool{}, map[string]bool{}
	wasConnected := false
	for round := range rounds {
		name := fmt.Sprintf("r%d.img", round)
		going := make(chan struct{})
		type outcome struct{ whole, removing, removed, connected bool }
		ended := make(chan outcome)
		go func() {
			defer close(going)
			var o outcome
			_, err := c.call("POST", "msd/write?image="+name, bytes.NewReader(data))
			o.whole = err == nil
			if o.whole && round%2 == 0 && !wasConnected {
				_, err := c.call("POST", "msd/set_params?rw=1&image="+name, nil)
				if err == nil {
					_, err = c.call("POST", "msd/set_connected?connected=1", nil)
				}
				o.connected = err == nil
			} else if o.whole {
				o.removing = true
				_, err = c.call("POST", "msd/remove?image="+name, nil)
				o.removed = err == nil
			}
			ended <- o
		}()
		var o outcome
		select {
		case <-time.After(time.Duration(r.IntN(150)) * time.Millisecond):
			c.kill()
			o = <-ended
		case o = <-ended:
			c.kill()
		}
		whole[name], removed[name] = o.whole, o.removed
		wasConnected = wasConnected || o.connected
		c = start(t, dir, password)
		now := c.state()
		if o.removing && !now.Storage.Images[name].Complete {
			removed[name] = true // though nobody was told
		}
		for name, ok := range whole {
			if ok && !removed[name] && !now.Storage.Images[name].Complete {
				t.Errorf("round %d: %s is gone", round, name)
			}
			if _, there := now.Storage.Images[name]; there && removed[name] {
				t.Errorf("round %d: %s, which was removed, is there", round, name)
			}
		}
		for name, u := range now.Storage.Uploads {
			if _, err := c.call("POST", fmt.Sprintf("msd/write?image=%s&offset=%d", name, u.Written), bytes.NewReader(data[u.Written:])); err != nil {
				t.Errorf("round %d: going on with %s at %d: %v", round, name, u.Written, err)
			}
			whole[name] = true
		}
		for name, i := range c.state().Storage.Images {
			file, err := os.ReadFile(filepath.Join(dir, "images", name))
			if err != nil || !i.Complete || !bytes.Equal(file, data) {
				t.Errorf("round %d: %s is %+v, and has %d bytes, %v", round, name, i, len(file), err)
			}
		}
		if wasConnected {
			waitConnected(t, c)
		}
	}
}

// waitConnected waits until the drive is connected, and reads from it.
func waitConnected(t *testing.T, c *child) {
	t.Helper()
	late := time.Now().Add(time.Minute)
	for !c.state().Drive.Connected {
		if time.Now().After(late) {
			t.Fatalf("the drive is not connected again: %+v", c.state().Drive)
		}
		time.Sleep(20 * time.Millisecond)
	}
	d, err := nbd.Dial(t.Context(), c.export)
	if err != nil {
		t.Fatal(err)
	}
	defer d.Close()
	if _, err := d.ReadAt(make([]byte, 4096), 0); err != nil {
		t.Error(err)
	}
}

// zeroes is a body of zeroes, slow if pause is set.
type zeroes struct {
	left  int64
	pause time.Duration
	wait  *atomic.Bool
}

func (z *zeroes) Read(p []byte) (int, error) {
	if z.left == 0 {
		return 0, io.EOF
	}
	for z.pause > 0 && z.wait.Load() {
		time.Sleep(z.pause)
		p = p[:1]
		break
	}
	n := int(min(int64(len(p)), z.left))
	clear(p[:n])
	z.left -= int64(n)
	return n, nil
}

// TestMemory has 50 slow uploads and one of many zeroes at the same time: the program takes
// little memory, and the zeroes take no room.
func TestMemory(t *testing.T) {
	size, slow := int64(64<<20), int64(256<<10)
	if os.Getenv("GONET_LONG") != "" {
		size, slow = 10<<30, 64<<20
	}
	dir := filepath.Join(t.TempDir(), "store")
	c := start(t, dir, "")
	if _, err := c.call("GET", "msd", nil); err != nil { // has the password checked once, and not 50 times at once
		t.Fatal(err)
	}
	var wait atomic.Bool
	wait.Store(true)
	put := func(name string, size int64, pause time.Duration) error {
		r, err := http.NewRequest("POST", c.base+"/api/msd/write?image="+name, &zeroes{size, pause, &wait})
		if err != nil {
			return err
		}
		r.ContentLength = size
		r.SetBasicAuth("admin", c.password)
		answer, err := c.client.Do(r)
		if err != nil {
			return err
		}
		defer answer.Body.Close()
		text, _ := io.ReadAll(answer.Body)
		if answer.StatusCode != 200 {
			return fmt.Errorf("%s", text)
		}
		return nil
	}
	ended := make(chan error)
	for i := range 50 {
		go func() { ended <- put(fmt.Sprintf("slow%d.img", i), slow, 5*time.Millisecond) }()
	}
	began := time.Now()
	if err := put("zeroes.img", size, 0); err != nil {
		t.Error(err)
	}
	took := time.Since(began)
	wait.Store(false)
	for range 50 {
		if err := <-ended; err != nil {
			t.Error(err)
		}
	}
	status, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", c.command.Process.Pid))
	if err != nil {
		t.Skip(err)
	}
	_, peak, _ := strings.Cut(string(status), "VmHWM:")
	var kilobytes int64
	fmt.Sscan(peak, &kilobytes)
	info, err := os.Stat(filepath.Join(dir, "images", "zeroes.img"))
	if err != nil {
		t.Fatal(err)
	}
	blocks := info.Sys().(*syscall.Stat_t).Blocks * 512
	t.Logf("%d MB of zeroes in %v take %d KB of room; the program took at most %d MB", size>>20, took.Round(time.Millisecond), blocks>>10, kilobytes>>10)
	if kilobytes > 256<<10 {
		t.Errorf("the program took %d MB", kilobytes>>10)
	}
	if info.Size() != size || blocks > 1<<20 {
		t.Errorf("%d bytes of zeroes take %d bytes of room", info.Size(), blocks)
	}
}

// TestConfig prints the file of options, changes it and reads it.
func TestConfig(t *testing.T) {
	var text bytes.Buffer
	if err := run(t.Context(), []string{"-print-config", "-quota", "2G"}, &text); err != nil {
		t.Fatal(err)
	}
	o, err := parse(nil, io.Discard)
	if err != nil {
		t.Fatal(err)
	}
	named := 0
	for _, s := range sections {
		named += len(s.names)
	}
	o.flags.VisitAll(func(f *flag.Flag) {
		if o.inFile(f) {
			named--
		}
	})
	var defaults bytes.Buffer
	shown, err := os.ReadFile("drive.conf")
	if err := errors.Join(err, o.print(&defaults)); err != nil || named != 0 || !bytes.Equal(shown, defaults.Bytes()) {
		t.Errorf("drive.conf does not name all options as they are (%v, %d): go run . -print-config >drive.conf", err, named)
	}
	file := filepath.Join(t.TempDir(), "drive.conf")
	lines := strings.Replace(text.String(), "\ndrive = drive\n", "\ndrive = a b\n", 1)
	if err := os.WriteFile(file, []byte(lines), 0o600); err != nil {
		t.Fatal(err)
	}
	o, err = parse([]string{"-config", file, "-quota", "3G"}, io.Discard)
	if err != nil || o.quota != 3<<30 || len(o.drives) != 2 || o.idle != time.Minute || o.store != "images" {
		t.Errorf("read back: %+v, %v", o, err)
	}
	for _, bad := range []string{"nothing = 1", "idle = soon", "listen", "config = x"} {
		if err := os.WriteFile(file, []byte("# c\n"+bad+"\n"), 0o600); err != nil {
			t.Fatal(err)
		}
		if _, err := parse([]string{"-config", file}, io.Discard); err == nil || !strings.Contains(err.Error(), ":2: ") {
			t.Errorf("%q: %v", bad, err)
		}
	}
	for _, bad := range [][]string{{"-tls", "x"}, {"-auth", "x"}, {"-nonsense"}, {"passwd", "a"}, {"token", "a", "boss"}} {
		if err := run(t.Context(), bad, io.Discard); err == nil {
			t.Errorf("%v was taken", bad)
		}
	}
	var help bytes.Buffer
	run(t.Context(), []string{"-h"}, &help)
	if !strings.Contains(help.String(), "Examples:") || !strings.Contains(help.String(), "-fetch-private") {
		t.Errorf("-h says %s", help.String())
	}
}
