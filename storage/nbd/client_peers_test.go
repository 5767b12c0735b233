package nbd

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/seed-012105e5/gonet/internal/testing/need"
	"github.com/seed-012105e5/gonet/storage/block"
	"github.com/seed-012105e5/gonet/storage/block/blocktest"
)

// A peerServer is a server of others on a unix socket, that ends with the test.
type peerServer struct {
	t      *testing.T
	socket string
	args   []string
	cmd    *exec.Cmd
}

// startPeer starts a program and waits for its socket. SOCKET in the arguments stands
// for the path.
func startPeer(t *testing.T, program string, args ...string) *peerServer {
	t.Helper()
	p := &peerServer{t: t, socket: filepath.Join(t.TempDir(), "s"), args: append([]string{program}, args...)}
	p.start()
	t.Cleanup(p.kill)
	return p
}

func (p *peerServer) start() {
	p.t.Helper()
	os.Remove(p.socket)
	args := make([]string, len(p.args))
	for i, a := range p.args {
		args[i] = strings.ReplaceAll(a, "SOCKET", p.socket)
	}
	var out bytes.Buffer
	p.cmd = exec.Command(args[0], args[1:]...)
	p.cmd.Stdout, p.cmd.Stderr = &out, &out
	if err := p.cmd.Start(); err != nil {
		p.t.Fatal(err)
	}
	for range 500 {
		if c, err := net.Dial("unix", p.socket); err == nil {
			c.Close()
			return
		}
		time.Sleep(10 * time.Millisecond)
	}
	p.kill()
	p.t.Fatalf("%v does not listen: %s", args, out.String())
}

// kill ends the program as a crash does.
func (p *peerServer) kill() {
	p.cmd.Process.Kill()
	p.cmd.Wait()
}

func (p *peerServer) uri(export string) string {
	return "nbd+unix:///" + export + "?socket=" + p.socket
}

func (p *peerServer) dial(t *testing.T, d Dialer, export string) *Client {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	c, err := d.Dial(ctx, p.uri(export))
	if err != nil {
		t.Fatal(err)
	}
	return c
}

// TestClientPeerNbdkit holds clients of nbdkit against the contract of devices.
func TestClientPeerNbdkit(t *testing.T) {
	need.Programs(t, "nbdkit")
	nbdkit := func(t *testing.T, args ...string) *peerServer {
		return startPeer(t, "nbdkit", append([]string{"-f", "--exit-with-parent", "-U", "SOCKET"}, args...)...)
	}
	for style, d := range clientDialers[:headersExtended] {
		for _, args := range [][]string{
			{"memory", "1M"},
			{"--filter=blocksize-policy", "memory", "1M", "blocksize-minimum=512", "blocksize-preferred=4096", "blocksize-maximum=65536", "blocksize-error-policy=error"},
			{"-r", "pattern", "1M"},
		} {
			t.Run(fmt.Sprintf("headers %d, %s", style, strings.Join(args, " ")), func(t *testing.T) {
				p := nbdkit(t, args...)
				d.Connections = 2
				blocktest.TestDevice(t, func(t *testing.T) block.Device { return p.dial(t, d, "") })
			})
		}
	}
	t.Run("error", func(t *testing.T) {
		c := nbdkit(t, "--filter=error", "memory", "1M", "error-pread=ENOSPC", "error-pread-rate=50%").dial(t, Dialer{}, "")
		defer c.Close()
		failed, bad := 0, 0
		for range 100 {
			_, err := c.ReadAt(make([]byte, 512), 0)
			if errors.Is(err, syscall.ENOSPC) {
				failed++
			} else if err != nil {
				bad++
			}
		}
		if failed < 10 || failed > 90 || bad > 0 {
			t.Errorf("of 100 reads, half of which fail, %d did, and %d otherwise", failed, bad)
		}
	})
	t.Run("delay", func(t *testing.T) {
		c := nbdkit(t, "--filter=delay", "memory", "1M", "rdelay=4").dial(t, Dialer{}, "")
		defer c.Close()
		ctx, cancel := context.WithTimeout(context.Background(), 50*time.Millisecond)
		defer cancel()
		start := time.Now()
		if _, err := c.ReadAtContext(ctx, make([]byte, 512), 0); !errors.Is(err, context.DeadlineExceeded) || time.Since(start) > 3500*time.Millisecond {
			t.Errorf("%v after %v", err, time.Since(start))
		}
		p := bytes.Repeat([]byte{1}, 512)
		if _, err := c.ReadAt(p, 512); err != nil || bytes.Count(p, []byte{0}) != 512 {
			t.Errorf("a read behind one that was given up: %v", err)
		}
	})
	// The server ends with its last client: so the client says that it goes, on each of
	// its connections, and a server that goes on is never taken for one that has ended.
	t.Run("exitlast", func(t *testing.T) {
		p := nbdkit(t, "--filter=exitlast", "memory", "1M")
		c := p.dial(t, Dialer{Connections: 4, ReconnectTimeout: 100 * time.Millisecond}, "")
		other := p.dial(t, Dialer{}, "")
		if err := other.Close(); err != nil {
			t.Error(err)
		}
		if _, err := c.WriteAt([]byte("still there"), 0); err != nil || c.Connections() != 4 {
			t.Errorf("with %d connections: %v", c.Connections(), err)
		}
		if err := c.Close(); err != nil {
			t.Error(err)
		}
		ended := make(chan error, 1)
		go func() { ended <- p.cmd.Wait() }()
		select {
		case err := <-ended:
			if err != nil {
				t.Errorf("nbdkit has ended with %v", err)
			}
		case <-time.After(10 * time.Second):
			t.Error("nbdkit has not ended with its last client")
		}
		if _, err := new(Dialer).Dial(t.Context(), p.uri("")); err == nil {
			t.Error("there is a server yet")
		}
	})
	t.Run("killed", func(t *testing.T) {
		file := filepath.Join(t.TempDir(), "disk")
		if err := os.WriteFile(file, make([]byte, 1<<20), 0o600); err != nil {
			t.Fatal(err)
		}
		p := nbdkit(t, "file", file)
		c := p.dial(t, Dialer{Replay: ReplayUnflushed, ReconnectTimeout: 30 * time.Second, Connections: 3}, "")
		defer c.Close()
		done := make(chan error)
		go func() {
			for i := range 2000 {
				if _, err := c.WriteAt(bytes.Repeat([]byte{byte(i)}, 512), int64(i)*512); err != nil {
					done <- fmt.Errorf("write %d: %w", i, err)
					return
				}
				if i%500 == 100 {
					p.kill()
					p.start()
				}
			}
			done <- c.Sync()
		}()
		if err := <-done; err != nil {
			t.Fatal(err)
		}
		b, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		for i := range 2000 {
			if bytes.Count(b[i*512:][:512], []byte{byte(i)}) != 512 {
				t.Fatalf("write %d is lost", i)
			}
		}
		if c.Reconnects() < 4 {
			t.Errorf("%d reconnects", c.Reconnects())
		}
		// The same file, but empty: an error, and no zeroes.
		p.kill()
		if err := os.Truncate(file, 0); err != nil {
			t.Fatal(err)
		}
		p.start()
		if n, err := c.ReadAt(make([]byte, 512), 0); n != 0 || !errors.Is(err, ErrExportChanged) {
			t.Errorf("a device that has become empty: %d, %v", n, err)
		}
	})
}

// TestClientPeerQemu holds clients of qemu-nbd, on a qcow2 image with a dirty bitmap,
// against the contract of devices.
func TestClientPeerQemu(t *testing.T) {
	need.Programs(t, "qemu-nbd", "qemu-img")
	image := filepath.Join(t.TempDir(), "disk.qcow2")
	run(t, "qemu-img", "create", "-q", "-f", "qcow2", image, "1M")
	run(t, "qemu-img", "bitmap", "--add", image, "changes")
	p := startPeer(t, "qemu-nbd", "-t", "-k", "SOCKET", "-x", "disk", "-D", "a description", "-B", "changes", "--shared=8", "--discard=unmap", "-f", "qcow2", image)
	for style, d := range clientDialers[:headersExtended] {
		t.Run(fmt.Sprintf("headers %d", style), func(t *testing.T) {
			d.Connections = 2
			blocktest.TestDevice(t, func(t *testing.T) block.Device { return p.dial(t, d, "disk") })
		})
	}
	bitmap := "qemu:dirty-bitmap:changes"
	c := p.dial(t, Dialer{Contexts: []string{bitmap}}, "disk")
	defer c.Close()
	all := c.MetaContexts()
	if len(all) != 1 || all[0].Name != bitmap {
		t.Fatalf("meta contexts %+v", c.Export().Contexts)
	}
	n := int64(0)
	if err := all[0].Extents(0, 1<<20, func(length int64, flags uint64) bool { n += length; return true }); err != nil || n != 1<<20 {
		t.Errorf("the dirty bitmap tells of %d bytes, %v", n, err)
	}
	list, err := List(context.Background(), p.uri(""))
	if err != nil || len(list) != 1 || list[0].Name != "disk" || list[0].Description != "a description" || list[0].Size != 1<<20 || len(list[0].Contexts) < 2 {
		t.Errorf("%+v, %v", list, err)
	}
	if _, err := Dial(context.Background(), p.uri("none")); err == nil || !strings.Contains(err.Error(), "ERR_UNKNOWN") {
		t.Errorf("an export that is not there: %v", err)
	}
}

// TestClientPeerNbdServer holds clients of nbd-server against the contract of devices.
func TestClientPeerNbdServer(t *testing.T) {
	need.Programs(t, "nbd-server")
	dir := t.TempDir()
	file, config, pid := filepath.Join(dir, "disk"), filepath.Join(dir, "config"), filepath.Join(dir, "pid")
	free, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	_, port, _ := net.SplitHostPort(free.Addr().String())
	free.Close()
	if err := os.WriteFile(file, make([]byte, 1<<20), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(config, fmt.Appendf(nil, "[generic]\nallowlist = true\nlistenaddr = 127.0.0.1\nport = %s\n[disk]\nexportname = %s\nflush = true\nfua = true\ntrim = true\n", port, file), 0o600); err != nil {
		t.Fatal(err)
	}
	// It goes to the background and leaves its number.
	run(t, "nbd-server", "-C", config, "-p", pid)
	t.Cleanup(func() {
		b, err := os.ReadFile(pid)
		if err != nil {
			t.Error(err)
			return
		}
		n, err := strconv.Atoi(strings.TrimSpace(string(b)))
		if err != nil {
			t.Errorf("the number of nbd-server: %v", err)
			return
		}
		if p, err := os.FindProcess(n); err != nil || p.Signal(syscall.SIGTERM) != nil {
			t.Errorf("nbd-server %d cannot be ended", n)
		}
	})
	uri := "nbd://127.0.0.1:" + port
	dial := func(t *testing.T, d Dialer) (c *Client) {
		var err error
		for range 200 { // it may not listen yet
			if c, err = d.Dial(t.Context(), uri+"/disk"); !errors.Is(err, syscall.ECONNREFUSED) {
				break
			}
			time.Sleep(10 * time.Millisecond)
		}
		if err != nil {
			t.Fatal(err)
		}
		return c
	}
	for style, d := range clientDialers[:headersExtended] {
		t.Run(fmt.Sprintf("headers %d", style), func(t *testing.T) {
			blocktest.TestDevice(t, func(t *testing.T) block.Device { return dial(t, d) })
		})
	}
	list, err := List(context.Background(), uri)
	if err != nil || len(list) != 1 || list[0].Name != "disk" {
		t.Errorf("%+v, %v", list, err)
	}
}

// TestClientPeerTLS speaks TLS with nbdkit, which wants a client's certificate.
func TestClientPeerTLS(t *testing.T) {
	need.Programs(t, "nbdkit")
	dir := certificateDir(t)
	p := startPeer(t, "nbdkit", "-f", "--exit-with-parent", "-U", "SOCKET", "--tls=require", "--tls-verify-peer", "--tls-certificates="+dir, "memory", "1M")
	uri := strings.Replace(p.uri(""), "nbd+unix", "nbds+unix", 1)
	c, err := Dial(context.Background(), uri+"&tls-certificates="+dir)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	if _, err := c.WriteAt([]byte("secret"), 0); err != nil {
		t.Error(err)
	}
	got := make([]byte, 6)
	if _, err := c.ReadAt(got, 0); err != nil || string(got) != "secret" {
		t.Errorf("%q, %v", got, err)
	}
	for name, uri := range map[string]string{
		"no TLS":           p.uri(""),
		"no certificate":   uri + "&tls-certificates=" + t.TempDir(),
		"another hostname": uri + "&tls-hostname=other.example&tls-certificates=" + dir,
	} {
		if c, err := Dial(context.Background(), uri); err == nil {
			if _, err := c.ReadAt(got, 0); err == nil {
				t.Errorf("%s: it works", name)
			}
			c.Close()
		}
	}
}
