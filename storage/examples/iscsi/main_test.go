package main

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/seed-012105e5/gonet/internal/program"
	"github.com/seed-012105e5/gonet/internal/testing/need"
	"github.com/seed-012105e5/gonet/storage/iscsi"
)

const t1, t2 = "iqn.2026-01.org.example:t1", "iqn.2026-01.org.example:t2"

// A served is the program, serving.
type served struct {
	t     *testing.T
	urls  []string
	admin string
	stop  func() error
}

// start runs serve with a socket of its own, until it says where that is.
func start(t *testing.T, args ...string) *served {
	t.Helper()
	s := &served{t: t, admin: filepath.Join(t.TempDir(), "admin")}
	ctx, cancel := context.WithCancel(t.Context())
	r, w := io.Pipe()
	ended := make(chan error, 1)
	all := append([]string{"serve", "-listen", "127.0.0.1:0", "-admin", s.admin}, args...)
	if slices.Contains(args, "-config") {
		all = append([]string{"serve", "-admin", s.admin}, args...)
	}
	go func() { err := run(ctx, all, w); w.CloseWithError(io.EOF); ended <- err }()
	stopped := false
	s.stop = func() error {
		if stopped {
			return nil
		}
		stopped = true
		cancel()
		return <-ended
	}
	t.Cleanup(func() { s.stop() })
	lines := bufio.NewScanner(r)
	for lines.Scan() && !strings.HasPrefix(lines.Text(), "managed at ") {
		if url := strings.Fields(lines.Text())[0]; strings.HasPrefix(url, "iscsi://") {
			s.urls = append(s.urls, url)
		}
	}
	if lines.Text() != "managed at "+s.admin {
		t.Fatalf("it has not begun: %q, %v", lines.Text(), s.stop())
	}
	go io.Copy(io.Discard, r)
	return s
}

// do runs another command, one of the server's if it begins with admin.
func (s *served) do(args ...string) (string, error) {
	var out bytes.Buffer
	err := run(s.t.Context(), args, &out)
	return out.String(), err
}

// manage runs a command that has -admin.
func (s *served) manage(command string, args ...string) string {
	s.t.Helper()
	all := append(strings.Fields(command), "-admin", s.admin)
	out, err := s.do(append(all, args...)...)
	if err != nil {
		s.t.Errorf("%s %q: %v", command, args, err)
	}
	return out
}

// content is data with a hole in it.
func content(t *testing.T, path string, size int) []byte {
	t.Helper()
	p := make([]byte, size)
	for i := range p {
		if i < size/3 || i > size/2 {
			p[i] = byte(i>>8 + i)
		}
	}
	if err := os.WriteFile(path, p, 0o600); err != nil {
		t.Fatal(err)
	}
	return p
}

// TestServe copies a file to a unit and from there to another one, and finds it in the
// file behind that when the program has ended.
func TestServe(t *testing.T) {
	dir := t.TempDir()
	source, disk, copied := filepath.Join(dir, "source"), filepath.Join(dir, "disk"), filepath.Join(dir, "copy")
	want := content(t, source, 3<<20)
	s := start(t, "-target", t1, "-lun", "0=memory:3M", "-lun", "1=file:"+disk+",size=3M,create", "-target", t2, "-chap", "user%a-long-secret", "-lun", "5=memory:64K,type=cdrom")
	if len(s.urls) != 3 {
		t.Fatalf("URLs %q", s.urls)
	}
	for _, ends := range [][2]string{{source, s.urls[0]}, {"if=" + s.urls[0], "of=" + s.urls[1]}, {s.urls[1], copied}} {
		if out, err := s.do("dd", "-verify", ends[0], ends[1]); err != nil || !strings.HasPrefix(out, "3M copied in") {
			t.Errorf("dd %v: %q, %v", ends, out, err)
		}
	}
	if got, err := os.ReadFile(copied); err != nil || !bytes.Equal(got, want) {
		t.Errorf("%d of %d bytes, %v", len(got), len(want), err)
	}
	portal := strings.TrimPrefix(s.urls[0], "iscsi://")
	portal = portal[:strings.Index(portal, "/")]
	if out, err := s.do("discover", portal); err != nil || out != fmt.Sprintf("%[1]s,1 %[2]s\n%[1]s,1 %[3]s\n", portal, t1, t2) {
		t.Errorf("discover: %q, %v", out, err)
	}
	if out, err := s.do("ls", portal); err == nil || !strings.Contains(err.Error(), t2) || strings.Count(out, t1) != 2 || strings.Contains(out, "cdrom") {
		t.Errorf("ls without a secret: %q, %v", out, err)
	}
	if out, err := s.do("ls", "iscsi://user%a-long-secret@"+portal); err != nil || strings.Count(out, t1) != 2 || !strings.Contains(out, "cdrom  64K   GONET VIRTUAL-CDROM") {
		t.Errorf("ls: %q, %v", out, err)
	}
	if out, err := s.do("inq", s.urls[1]); err != nil || !strings.Contains(out, "size      3M\n") || !strings.Contains(out, "vendor    GONET\n") || !strings.Contains(out, "block     512\n") {
		t.Errorf("inq: %q, %v", out, err)
	}
	if out, err := s.do("inq", s.urls[0][:len(s.urls[0])-1]+"9"); err == nil {
		t.Errorf("inq of no unit: %q", out)
	}
	if err := s.stop(); err != nil {
		t.Error(err)
	}
	if got, err := os.ReadFile(disk); err != nil || !bytes.Equal(got, want) {
		t.Errorf("the file has %d bytes, %v", len(got), err)
	}
	if _, err := os.Stat(s.admin); err == nil {
		t.Error("the socket is left")
	}
}

// TestManage makes and takes away while a session is there.
func TestManage(t *testing.T) {
	s := start(t, "-target", t1, "-lun", "0=memory:1M")
	u, err := iscsi.ParseURL(s.urls[0])
	if err != nil {
		t.Fatal(err)
	}
	c, err := new(iscsi.Dialer).Session(t.Context(), u.Address, u.Target)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	luns := func(want ...int) {
		t.Helper()
		got, err := c.LUNs(t.Context())
		if err != nil || !slices.Equal(got, want) {
			t.Errorf("units %v, %v, want %v", got, err, want)
		}
	}
	s.manage("create", "-alias", "two", "-chap", "user%a-long-secret", t2, "1=memory:2M", "2=memory:3M,type=cdrom")
	if d, err := new(iscsi.Dialer).Open(t.Context(), "iscsi://user%a-long-secret@"+u.Address+"/"+t2+"/1"); err != nil {
		t.Error(err)
	} else {
		d.Close()
	}
	s.manage("lun add", t1, "7=memory:1M")
	luns(0, 7)
	out := s.manage("list")
	for _, want := range []string{t1 + "  0     1M    memory:1M\n", t1 + "  7 ", t2 + "  2     3M    memory:3M,type=cdrom\n"} {
		if !strings.Contains(out, want) {
			t.Errorf("list: %q has no %q", out, want)
		}
	}
	eventually(t, "one session is listed", func() bool { // that of d takes a moment to go
		out := s.manage("sessions")
		return strings.Count(out, "\n") == 2 && strings.Contains(out, t1)
	})
	if out := s.manage("stats"); !strings.Contains(out, "Targets") {
		t.Errorf("stats: %q", out)
	}
	s.manage("lun rm", t1, "0")
	luns(7)
	s.manage("rm", t2)
	if out := s.manage("list"); strings.Contains(out, t2) {
		t.Errorf("list: %q", out)
	}
	for _, args := range []string{"rm " + t2, "lun rm " + t1 + " 0", "lun add " + t1 + " 7=memory:1M", "create " + t1, "create x", "reload"} {
		words := strings.Fields(args)
		at := 1
		if words[0] == "lun" {
			at = 2
		}
		if out, err := s.do(slices.Insert(words, at, "-admin", s.admin)...); err == nil || program.ExitCode(err) != 1 {
			t.Errorf("%s: %q, %v", args, out, err)
		}
	}
	if got := c.Connections(); got != 1 {
		t.Errorf("the session has had %d connections", got)
	}
	c.Close()
	if err := s.stop(); err != nil {
		t.Error(err)
	}
}

// TestReload changes the file of -config, and has it read by reload and by SIGHUP,
// while a session goes on.
func TestReload(t *testing.T) {
	dir := t.TempDir()
	config := filepath.Join(dir, "config.json")
	write := func(targets string) {
		t.Helper()
		text := `{"storages":[{"deviceID":1,"path":"file:` + filepath.Join(dir, "1") + `","online":true},{"deviceID":2,"disk":"memory:1M"}],
			"iscsiportals":[{"id":0,"portal":"127.0.0.1:0"}],"iscsitargets":{` + targets + `}}`
		if err := os.WriteFile(config, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	first := `"` + t1 + `":{"tpgts":{"1":[0]},"luns":{"0":1}}`
	second := `,"` + t2 + `":{"tpgts":{"1":[0]},"luns":{"4":2}}`
	content(t, filepath.Join(dir, "1"), 1<<20)
	write(first)
	s := start(t, "-config", config)
	if len(s.urls) != 1 {
		t.Fatalf("URLs %q", s.urls)
	}
	d, err := new(iscsi.Dialer).Open(t.Context(), s.urls[0])
	if err != nil {
		t.Fatal(err)
	}
	defer d.Close()
	write(first + second)
	s.manage("reload")
	if out := s.manage("list"); !strings.Contains(out, t2+"  4 ") {
		t.Errorf("list: %q", out)
	}
	write("}")
	if _, err := s.do("reload", "-admin", s.admin); err == nil || !strings.Contains(err.Error(), config) {
		t.Errorf("reload of a broken file: %v", err)
	}
	if runtime.GOOS != "windows" {
		write(first)
		hup(t, func() bool { return !strings.Contains(s.manage("list"), t2) })
	}
	if _, err := d.ReadAt(make([]byte, 512), 0); err != nil || d.Client.Connections() != 1 {
		t.Errorf("%v, %d connections", err, d.Client.Connections())
	}
}

// hup sends SIGHUP until it has worked.
func hup(t *testing.T, worked func() bool) {
	t.Helper()
	caught := make(chan os.Signal, 1)
	signal.Notify(caught, syscall.SIGHUP) // so that one which comes too early ends nothing
	defer signal.Stop(caught)
	self, err := os.FindProcess(os.Getpid())
	if err != nil {
		t.Fatal(err)
	}
	eventually(t, "SIGHUP reloads", func() bool {
		if err := self.Signal(syscall.SIGHUP); err != nil {
			t.Fatal(err)
		}
		<-caught
		return worked()
	})
}

// eventually waits until something is so.
func eventually(t *testing.T, what string, is func() bool) {
	t.Helper()
	for range 2000 {
		if is() {
			return
		}
		time.Sleep(10 * time.Millisecond)
	}
	t.Errorf("it never comes that %s", what)
}

// TestPeers has libiscsi's tools look at what is served.
func TestPeers(t *testing.T) {
	need.Programs(t, "iscsi-ls", "iscsi-inq")
	s := start(t, "-target", t1, "-lun", "1=memory:5M")
	portal := s.urls[0][:strings.Index(s.urls[0], "/iqn")]
	for want, args := range map[string][]string{"Lun:1": {"iscsi-ls", "-s", portal}, "VIRTUAL-DISK": {"iscsi-inq", s.urls[0]}} {
		ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
		out, err := exec.CommandContext(ctx, args[0], args[1:]...).CombinedOutput()
		cancel()
		if err != nil || !strings.Contains(string(out), want) {
			t.Errorf("%q: %v: %s", args, err, out)
		}
	}
}

func TestRefuses(t *testing.T) {
	dir := t.TempDir()
	nobody := filepath.Join(dir, "none")
	for args, want := range map[string]string{
		"":                                    "want a command",
		"mount":                               `"mount"`,
		"serve":                               "nothing to serve",
		"serve x":                             `"x"`,
		"serve -lun 1=memory:1M":              "-target before it",
		"serve -chap a%b":                     "-target before it",
		"serve -target " + t1 + " -chap user": "USER%SECRET",
		"serve -target " + t1 + " -lun memory:1M":           "N=DISK",
		"serve -target " + t1 + " -lun x=memory:1M":         "N=DISK",
		"serve -target " + t1 + " -lun 1=memory:1 -lun 1=x": "twice",
		"serve -target " + t1 + " -listen unix:/x":          "TCP",
		"serve -target " + t1 + " -rootless -listen x":      "-rootless",
		"lun":                  "want iscsi lun add",
		"lun up":               "want iscsi lun add",
		"lun add " + t1:        "want iscsi lun add NAME N=DISK",
		"lun add " + t1 + " 1": "N=DISK",
		"lun rm " + t1 + " x":  `"x"`,
		"rm":                   "want iscsi rm NAME",
		"create":               "want iscsi create NAME",
		"create " + t1 + " 1":  "N=DISK",
		"list x":               "want iscsi list",
		"discover":             "want iscsi discover PORTAL",
		"ls iscsi://":          "no host",
		"inq disk":             "iscsi://",
		"inq iscsi://h/" + t1:  "LUN",
		"dd a":                 "want iscsi dd FROM TO",
		"dd -depth 99 a b":     "-depth",
		"discover -nonsense x": "nonsense",
	} {
		err := run(t.Context(), strings.Fields(args), io.Discard)
		if err == nil || !strings.Contains(err.Error(), want) || program.ExitCode(err) != 2 {
			t.Errorf("%q: %v (exit code %d), want %q", args, err, program.ExitCode(err), want)
		}
	}
	for args, want := range map[string]string{
		"serve -admin off -listen 127.0.0.1:0 -target x":                                     "no name",
		"serve -admin off -listen 127.0.0.1:0 -target " + t1 + " -target " + t1:              "already",
		"serve -admin off -listen 127.0.0.1:0 -target " + t1 + " -lun 1=nothing:x":           "nothing",
		"serve -admin off -listen 127.0.0.1:0 -target " + t1 + " -lun 1=memory:1M,type=tape": "cdrom",
		"serve -admin off -listen nowhere -target " + t1:                                     "nowhere",
		"serve -admin " + nobody + "/x -listen 127.0.0.1:0 -target " + t1:                    "-admin off",
		"serve -admin off -config " + nobody:                                                 nobody,
		"list -admin " + nobody:                                                              nobody,
		"discover 127.0.0.1:1":                                                               "refused",
		"dd " + nobody + " memory:1M":                                                        nobody,
		"dd memory:2M memory:1M":                                                             "less than",
	} {
		ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
		err := run(ctx, strings.Fields(args), io.Discard)
		cancel()
		if err == nil || !strings.Contains(err.Error(), want) || program.ExitCode(err) != 1 {
			t.Errorf("%q: %v (exit code %d), want %q", args, err, program.ExitCode(err), want)
		}
	}
	for _, args := range []string{"-h", "serve -h", "list -h", "create -h", "rm -h", "lun -h", "lun add -h", "lun rm -h", "sessions -h", "stats -h", "reload -h", "discover -h", "ls -h", "inq -h", "dd -h"} {
		var out bytes.Buffer
		if err := run(t.Context(), strings.Fields(args), &out); !errors.Is(err, flag.ErrHelp) || !strings.Contains(out.String(), "Usage: iscsi") {
			t.Errorf("%s: %v, printed %s", args, err, &out)
		}
	}
}
