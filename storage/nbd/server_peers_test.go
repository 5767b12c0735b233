package nbd

import (
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"encoding/pem"
	"fmt"
	"math/rand/v2"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/seed-012105e5/gonet/internal/testing/need"
	"github.com/seed-012105e5/gonet/storage/block"
)

// run runs a program for at most a minute and returns its output.
func run(t *testing.T, program string, args ...string) string {
	t.Helper()
	out, err := tryRun(t, program, args...)
	if err != nil {
		t.Fatalf("%s %s: %v\n%s", program, strings.Join(args, " "), err, out)
	}
	return out
}

func tryRun(t *testing.T, program string, args ...string) (string, error) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	cmd := exec.CommandContext(ctx, program, args...)
	cmd.Dir = t.TempDir()
	cmd.Env = append(os.Environ(), "PATH=/usr/sbin:/usr/bin:"+os.Getenv("PATH")) // nbdsh needs the system's python3
	cmd.WaitDelay = time.Second
	out, err := cmd.CombinedOutput()
	return string(out), err
}

// listen serves s on loopback and returns host and port.
func listen(t *testing.T, s *Server) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	s.ErrorLog = func(remote net.Addr, err error) { t.Logf("connection from %v: %v", remote, err) }
	done := make(chan struct{})
	go func() { defer close(done); s.Serve(l) }()
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
		defer cancel()
		if err := s.Shutdown(ctx); err != nil {
			t.Errorf("Shutdown: %v", err)
		}
		<-done
		for name, n := range s.Stats() {
			if n > 0 && (name == "ProtocolErrors" || name == "RequestsUnknown" || name == "ConnectionsOpen") {
				t.Errorf("%s: %d", name, n)
			}
		}
	})
	return l.Addr().String()
}

// sparse fills 8 MiB of a device of 64 MiB, in pieces.
func sparse(t testing.TB, d block.Device) {
	t.Helper()
	r := rand.New(rand.NewPCG(1, 1))
	p := make([]byte, 1<<20)
	for i := range 8 {
		for j := range p {
			p[j] = byte(r.Uint32())
		}
		if _, err := d.WriteAt(p, int64(i)*8<<20+64<<10); err != nil {
			t.Fatal(err)
		}
	}
}

const peerSize = 64 << 20

func contents(t *testing.T, d block.Device) []byte {
	t.Helper()
	p := make([]byte, peerSize)
	if _, err := d.ReadAt(p, 0); err != nil {
		t.Fatal(err)
	}
	return p
}

func TestPeerNbdinfo(t *testing.T) {
	need.Programs(t, "nbdinfo")
	m := block.NewMemory(peerSize)
	sparse(t, m)
	s := newServer(t, m)
	for _, e := range []Export{{Name: "ro", Description: "a description", Device: m, ReadOnly: true}, {Name: "sizes", Device: m, MinimumBlockSize: 512, PreferredBlockSize: 64 << 10, MaximumRequestSize: 1 << 20, NoMultiConn: true}} {
		if err := s.Add(e); err != nil {
			t.Fatal(err)
		}
	}
	uri := "nbd://" + listen(t, s)

	var list struct {
		Exports []struct {
			Name        string `json:"export-name"`
			Description string
			Size        int64    `json:"export-size"`
			Contexts    []string `json:"contexts"`
			ReadOnly    bool     `json:"is_read_only"`
			MultiConn   bool     `json:"can_multi_conn"`
			Trim        bool     `json:"can_trim"`
			Minimum     int      `json:"block_size_minimum"`
			Preferred   int      `json:"block_size_preferred"`
			Maximum     int      `json:"block_size_maximum"`
		}
	}
	if err := json.Unmarshal([]byte(run(t, "nbdinfo", "--list", "--json", uri)), &list); err != nil {
		t.Fatal(err)
	}
	if got := fmt.Sprintf("%+v", list.Exports); got != "[{Name:a Description: Size:67108864 Contexts:[base:allocation] ReadOnly:false MultiConn:true Trim:true Minimum:1 Preferred:4096 Maximum:33554432}"+
		" {Name:ro Description:a description Size:67108864 Contexts:[base:allocation] ReadOnly:true MultiConn:true Trim:false Minimum:1 Preferred:4096 Maximum:33554432}"+
		" {Name:sizes Description: Size:67108864 Contexts:[base:allocation] ReadOnly:false MultiConn:false Trim:true Minimum:512 Preferred:65536 Maximum:1048576}]" {
		t.Errorf("--list --json: %s", got)
	}

	var extents []struct {
		Offset, Length int64
		Type           int
	}
	if err := json.Unmarshal([]byte(run(t, "nbdinfo", "--map", "--json", uri+"/a")), &extents); err != nil {
		t.Fatal(err)
	}
	next := int64(0)
	for i, e := range extents {
		data := e.Type == 0
		if e.Offset != next || data != (i%2 == 1) || data && e.Length != 1<<20 {
			t.Errorf("--map: extent %d is %+v", i, e)
		}
		next = e.Offset + e.Length
	}
	if len(extents) != 17 || next != peerSize {
		t.Errorf("--map: %d extents up to %d", len(extents), next)
	}

	// --can exits with 0 for yes and 2 for no.
	for export, cans := range map[string]string{
		"a":  "connect read write flush fua df multi-conn trim zero fast-zero !cache !tls structured-reply",
		"ro": "connect read !write flush fua df multi-conn !trim !zero !fast-zero !cache",
	} {
		for _, can := range strings.Fields(cans) {
			feature, no := strings.CutPrefix(can, "!")
			_, err := tryRun(t, "nbdinfo", "--can", feature, uri+"/"+export)
			if (err == nil) == no {
				t.Errorf("%s: nbdinfo --can %s: %v", export, feature, err)
			}
		}
	}
	if out := run(t, "nbdinfo", "--size", uri+"/a"); strings.TrimSpace(out) != "67108864" {
		t.Errorf("--size: %s", out)
	}
	if out, err := tryRun(t, "nbdinfo", uri+"/none"); err == nil {
		t.Errorf("an unknown export: %s", out)
	}
}

// TestPeerNbdcopy copies there and back with one and four connections, and looks at
// bytes and holes.
func TestPeerNbdcopy(t *testing.T) {
	need.Programs(t, "nbdcopy", "nbdinfo")
	from, to := block.NewMemory(peerSize), block.NewMemory(peerSize)
	sparse(t, from)
	s := newServer(t, from, to)
	uri := "nbd://" + listen(t, s)
	want := contents(t, from)
	for _, connections := range []string{"1", "4"} {
		file := filepath.Join(t.TempDir(), "disk")
		run(t, "nbdcopy", "--connections="+connections, uri+"/a", file)
		if got, err := os.ReadFile(file); err != nil || !bytes.Equal(got, want) {
			t.Errorf("%s connections: the file has other bytes, %v", connections, err)
		}
		if err := to.Trim(0, peerSize); err != nil {
			t.Fatal(err)
		}
		run(t, "nbdcopy", "--connections="+connections, "--flush", file, uri+"/b")
		if !bytes.Equal(contents(t, to), want) {
			t.Errorf("%s connections: the device has other bytes", connections)
		}
		if n := to.Allocated(); n > 9<<20 {
			t.Errorf("%s connections: %d bytes are allocated for 8 MiB of data", connections, n)
		}
		if err := to.WriteZeroes(0, peerSize, block.ZeroNoHole); err != nil {
			t.Fatal(err)
		}
		run(t, "nbdcopy", "--connections="+connections, uri+"/a", uri+"/b")
		if !bytes.Equal(contents(t, to), want) || to.Allocated() > 9<<20 {
			t.Errorf("%s connections, from export to export: %d bytes are allocated", connections, to.Allocated())
		}
	}
}

// TestPeerNbdsh drives libnbd by its shell: what no program sends by itself.
func TestPeerNbdsh(t *testing.T) {
	need.Programs(t, "nbdsh")
	d := newScript()
	s := newServer(t, d)
	uri := "nbd://" + listen(t, s) + "/a"
	script := `
h.add_meta_context("base:allocation")
h.connect_uri("` + uri + `")
h.set_strict_mode(0)
assert h.get_size() == 1048576
h.pwrite(b"0123456789abcdef" * 256, 4096, nbd.CMD_FLAG_FUA)
assert h.pread(16, 4096 + 8) == b"89abcdef01234567"
assert h.pread(16, 4096 + 8, nbd.CMD_FLAG_DF) == b"89abcdef01234567"
chunks = []
h.pread_structured(4096, 4096, lambda b, off, status, err: chunks.append((len(b), off, status)))
assert chunks == [(4096, 4096, nbd.READ_DATA)], chunks
h.flush()
h.trim(65536, 0, nbd.CMD_FLAG_FUA)
assert h.pread(16, 4096) == bytes(16)
h.zero(65536, 65536, nbd.CMD_FLAG_NO_HOLE)
h.zero(65536, 0, nbd.CMD_FLAG_FAST_ZERO)
extents = []
h.block_status(1048576, 0, lambda ctx, off, e, err: extents.extend(e))
assert extents == [65536, 3, 65536, 0, 917504, 3], extents
extents = []
h.block_status(1048576, 0, lambda ctx, off, e, err: extents.extend(e), nbd.CMD_FLAG_REQ_ONE)
assert extents == [65536, 3], extents
def fails(errno, f):
    try:
        f()
    except nbd.Error as e:
        assert e.errno == errno, (e.errno, e)
        return
    assert False, "no error"
fails("EINVAL", lambda: h.pread(16, 1048576))
fails("ENOSPC", lambda: h.pwrite(b"x" * 16, 1048570))
fails("ENOSPC", lambda: h.zero(16, 1048570))
fails("EINVAL", lambda: h.trim(16, 1048570))
fails("EINVAL", lambda: h.cache(16, 1048570))
fails("EINVAL", lambda: h.block_status(16, 1048570, lambda *a: 0))
fails("EINVAL", lambda: h.pread(33 << 20, 0))
h.pwrite(b"x" * 4096, 0)
cookies = [h.aio_pread(nbd.Buffer(4096), i * 4096) for i in range(60)]
while h.aio_in_flight() > 0:
    h.poll(-1)
assert all(h.aio_command_completed(c) for c in cookies)
assert h.pread(4096, 0) == b"x" * 4096
h.shutdown()
`
	run(t, "nbdsh", "-c", script)
}

// TestPeerQemu runs qemu-img and qemu-io.
func TestPeerQemu(t *testing.T) {
	need.Programs(t, "qemu-img", "qemu-io")
	from, to := block.NewMemory(peerSize), block.NewMemory(peerSize)
	sparse(t, from)
	s := newServer(t, from, to)
	uri := "nbd://" + listen(t, s)
	want := contents(t, from)

	if out := run(t, "qemu-img", "info", "-f", "raw", uri+"/a"); !strings.Contains(out, "64 MiB (67108864 bytes)") {
		t.Errorf("info: %s", out)
	}
	run(t, "qemu-img", "convert", "-n", "-f", "raw", "-O", "raw", uri+"/a", uri+"/b")
	if !bytes.Equal(contents(t, to), want) || to.Allocated() > 9<<20 {
		t.Errorf("convert: %d bytes are allocated", to.Allocated())
	}
	run(t, "qemu-img", "compare", "-f", "raw", "-F", "raw", uri+"/a", uri+"/b")
	qcow := filepath.Join(t.TempDir(), "disk.qcow2")
	run(t, "qemu-img", "convert", "-f", "raw", "-O", "qcow2", uri+"/a", qcow)
	run(t, "qemu-img", "check", qcow)
	run(t, "qemu-img", "compare", "-f", "raw", "-F", "qcow2", uri+"/a", qcow)

	var extents []struct {
		Start, Length int64
		Zero, Data    bool
	}
	if err := json.Unmarshal([]byte(run(t, "qemu-img", "map", "--output=json", "-f", "raw", uri+"/a")), &extents); err != nil {
		t.Fatal(err)
	}
	if len(extents) != 17 || extents[0].Data || !extents[1].Data || extents[1].Start != 64<<10 || extents[1].Length != 1<<20 {
		t.Errorf("map: %+v", extents)
	}
	var measured struct{ Required int64 }
	if err := json.Unmarshal([]byte(run(t, "qemu-img", "measure", "--output=json", "-O", "qcow2", "-f", "raw", uri+"/a")), &measured); err != nil {
		t.Fatal(err)
	}
	if measured.Required < 8<<20 || measured.Required > 12<<20 {
		t.Errorf("measure: %d bytes for 8 MiB of data", measured.Required)
	}
	run(t, "qemu-img", "bench", "-c", "2000", "-d", "16", "-f", "raw", uri+"/a")
	run(t, "qemu-img", "bench", "-w", "-c", "2000", "-d", "16", "-f", "raw", uri+"/b")

	// qemu-io fails with the first command that does; patterns are verified by -P.
	if out, _ := tryRun(t, "qemu-io", "-f", "raw", "-c", "info", uri+"/b"); !strings.Contains(out, "format name: raw") {
		t.Errorf("info: %s", out)
	}
	args := []string{"-f", "raw"}
	for _, c := range []string{
		"length", "write -P 0x11 0 1M", "read -P 0x11 0 1M", "write -f -P 0x22 1M 64k", "read -P 0x22 1M 64k", "write -z 0 128k", "read -P 0 0 128k",
		"write -z -u 128k 128k", "read -P 0 128k 128k", "write -P 0x33 777 1001", "read -P 0x33 777 1001", "writev -P 0x44 2M 4k 8k 4k", "readv -P 0x44 2M 8k 8k",
		"aio_write -P 0x55 3M 64k", "aio_write -f -P 0x66 4M 64k", "aio_write -z 5M 1M", "aio_flush", "aio_read -P 0x55 3M 64k", "aio_read -P 0x66 4M 64k", "aio_flush",
		"discard 8M 8M", "flush", "alloc 2M 1M", "map",
		"write -z -n 256k 128k", "write -z -u -n 384k 128k", "read -P 0 256k 256k",
	} {
		args = append(args, "-c", c)
	}
	if out := run(t, "qemu-io", append(args, uri+"/b")...); strings.Contains(out, "failed") || strings.Contains(out, "Pattern") {
		t.Errorf("qemu-io: %s", out)
	}
	if out, _ := tryRun(t, "qemu-io", "-f", "raw", "-c", "read 65M 4k", uri+"/b"); !strings.Contains(out, "failed") && !strings.Contains(out, "error") && !strings.Contains(out, "beyond") {
		t.Errorf("a read beyond the end: %s", out)
	}
}

// TestPeerFio writes and verifies at several depths.
func TestPeerFio(t *testing.T) {
	need.Programs(t, "fio")
	if out, _ := tryRun(t, "fio", "--enghelp"); !strings.Contains(out, "nbd") {
		need.Unable(t, "this fio has no engine for NBD")
	}
	s := newServer(t, block.NewMemory(peerSize))
	uri := "nbd://" + listen(t, s) + "/a"
	for _, depth := range []string{"1", "16", "64"} {
		run(t, "fio", "--name=verify", "--ioengine=nbd", "--uri="+uri, "--rw=randrw", "--bsrange=512-65536", "--size=8m", "--iodepth="+depth, "--verify=crc32c", "--verify_fatal=1", "--verify_state_save=0", "--fsync=32")
	}
}

// TestPeerTLS has libnbd verify the server and show a certificate.
func TestPeerTLS(t *testing.T) {
	need.Programs(t, "nbdinfo", "nbdcopy")
	a := newAuthority(t)
	dir := t.TempDir()
	save := func(name string, cert *x509.Certificate, key any) {
		t.Helper()
		if cert != nil {
			if err := os.WriteFile(filepath.Join(dir, name+"-cert.pem"), pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: cert.Raw}), 0o600); err != nil {
				t.Fatal(err)
			}
		}
		if key != nil {
			der, err := x509.MarshalPKCS8PrivateKey(key)
			if err != nil {
				t.Fatal(err)
			}
			if err := os.WriteFile(filepath.Join(dir, name+"-key.pem"), pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: der}), 0o600); err != nil {
				t.Fatal(err)
			}
		}
	}
	save("ca", a.cert, nil)
	cert, key := a.sign(t, "alice")
	save("client", cert, key)

	m := block.NewMemory(peerSize)
	sparse(t, m)
	s := &Server{TLSMode: TLSRequired, TLS: &tls.Config{Certificates: []tls.Certificate{a.issue(t, "localhost")}, ClientCAs: a.pool, ClientAuth: tls.RequireAndVerifyClientCert}}
	if err := s.Add(Export{Name: "a", Device: m, Visible: func(state *tls.ConnectionState) bool {
		return state.PeerCertificates[0].Subject.CommonName == "alice"
	}}); err != nil {
		t.Fatal(err)
	}
	host := listen(t, s)
	uri := "nbds://" + host + "/a?tls-certificates=" + dir
	if out := run(t, "nbdinfo", uri); !strings.Contains(out, "with TLS") {
		t.Errorf("nbdinfo: %s", out)
	}
	file := filepath.Join(t.TempDir(), "disk")
	run(t, "nbdcopy", uri, file)
	if got, err := os.ReadFile(file); err != nil || !bytes.Equal(got, contents(t, m)) {
		t.Errorf("nbdcopy by TLS: other bytes, %v", err)
	}
	if out, err := tryRun(t, "nbdinfo", "nbd://"+host+"/a"); err == nil {
		t.Errorf("in the clear: %s", out)
	}
}

// TestPeerMkfs makes file systems on devices that once ended servers: an empty one,
// and one that grows.
func TestPeerMkfs(t *testing.T) {
	need.Programs(t, "qemu-img", "nbdinfo", "nbdcopy")
	mkfs := need.Program(t, "mkfs.ext4")
	empty := block.NewMemory(0)
	s := newServer(t, empty, block.NewMemory(peerSize))
	uri := "nbd://" + listen(t, s)
	if out, err := tryRun(t, "qemu-img", "convert", "-n", "-f", "raw", "-O", "raw", uri+"/b", uri+"/a"); err == nil {
		t.Errorf("64 MiB into nothing: %s", out)
	}
	if out := run(t, "nbdinfo", "--size", uri+"/a"); strings.TrimSpace(out) != "0" {
		t.Errorf("an empty device: %s", out)
	}
	run(t, "nbdcopy", uri+"/a", "null:")
	image := filepath.Join(t.TempDir(), "image")
	if err := os.WriteFile(image, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	run(t, mkfs, "-q", "-F", image, "32M")
	if err := empty.Resize(32 << 20); err != nil {
		t.Fatal(err)
	}
	run(t, "nbdcopy", image, uri+"/a")
	run(t, "qemu-img", "compare", "-f", "raw", "-F", "raw", image, uri+"/a")
	run(t, "nbdcopy", uri+"/b", "null:")
}
