package iscsi

import (
	"bytes"
	"context"
	"fmt"
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

// tool runs a program for at most two minutes and returns what it has said.
func tool(t *testing.T, program string, args ...string) (string, error) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 2*time.Minute)
	defer cancel()
	cmd := exec.CommandContext(ctx, program, args...)
	cmd.Dir = t.TempDir()
	cmd.WaitDelay = time.Second
	out, err := cmd.CombinedOutput()
	return string(out), err
}

// must is tool that must succeed and say all of what is wanted.
func must(t *testing.T, want []string, program string, args ...string) {
	t.Helper()
	out, err := tool(t, program, args...)
	if err != nil {
		t.Fatalf("%s %s: %v\n%s", program, strings.Join(args, " "), err, out)
	}
	for _, w := range want {
		if !strings.Contains(out, w) {
			t.Errorf("%s %s does not say %q:\n%s", program, strings.Join(args, " "), w, out)
		}
	}
}

// The programs of libiscsi and QEMU find the target and use it, with and without CHAP
// both ways and digests.
func TestPrograms(t *testing.T) {
	need.Programs(t, "iscsi-ls", "iscsi-inq", "iscsi-readcapacity16", "iscsi-perf", "iscsi-swp", "qemu-img", "qemu-io")
	if driver, _ := filepath.Glob("/usr/lib/*/qemu/block-iscsi.so"); len(driver) == 0 {
		if os.Getenv("CI") == "true" {
			t.Fatal("QEMU has no iscsi:// (qemu-block-extra)")
		}
		t.Skip("QEMU has no iscsi:// (qemu-block-extra)")
	}
	chap := Target{Access: []Access{{User: "joe", Secret: testSecretWord, MutualUser: "mjoe", MutualSecret: "msecret12345"}}}
	for _, c := range []struct {
		name        string
		target      Target
		user, query string
	}{
		{"plain", Target{}, "", ""},
		{"digests", Target{}, "", "?header_digest=crc32c"},
		{"CHAP", chap, "joe%" + testSecretWord + "@", ""},
		{"mutual CHAP", chap, "joe%" + testSecretWord + "@", "?target_user=mjoe&target_password=msecret12345"},
	} {
		t.Run(c.name, func(t *testing.T) {
			dev := block.NewMemory(64 << 20)
			s := &Server{Discovery: c.target.Access}
			address := loopback(t, s, c.target, dev)
			portal := fmt.Sprintf("iscsi://%s%s/%s", c.user, address, c.query)
			url := fmt.Sprintf("iscsi://%s%s/%s/1%s", c.user, address, testTarget, c.query)
			must(t, []string{testTarget, "Lun:1", "DIRECT_ACCESS"}, "iscsi-ls", "-s", portal)
			must(t, []string{"CONNECTED", "GONET"}, "iscsi-inq", url)
			must(t, []string{fmt.Sprint(64 << 20)}, "iscsi-readcapacity16", url)
			must(t, []string{"finished"}, "iscsi-perf", "-r", "-b", "8", "-m", "16", "-t", "1", url)
			must(t, nil, "iscsi-swp", "-s", "on", url)
			// QEMU crashes by itself at digests in a URL, and takes them as an option.
			image := []string{"-f", "raw", url}
			if c.query == "?header_digest=crc32c" {
				image = []string{"--image-opts", fmt.Sprintf("driver=raw,file.driver=iscsi,file.transport=tcp,file.portal=%s,file.target=%s,file.lun=1,file.header-digest=crc32c", address, testTarget)}
			}
			qemu := func(commands ...string) (string, error) {
				var args []string
				for _, c := range commands {
					args = append(args, "-c", c)
				}
				return tool(t, "qemu-io", append(args, image...)...)
			}
			if out, err := qemu("write -P 1 0 4096"); err == nil && !strings.Contains(out, "rror") && !strings.Contains(out, "denied") {
				t.Errorf("a unit under SWP is written to:\n%s", out)
			}
			must(t, nil, "iscsi-swp", "-s", "off", url)
			if out, err := qemu("write -P 5 0 1M", "write -P 6 1M 3M", "discard 2M 1M", "write -z 3M 64k", "flush",
				"read -P 5 0 1M", "read -P 6 1M 1M", "read -P 0 2M 1M", "read -P 0 3M 64k"); err != nil {
				t.Errorf("qemu-io: %v\n%s", err, out)
			}
			got := make([]byte, 1<<20)
			if _, err := dev.ReadAt(got, 0); err != nil || !bytes.Equal(got, bytes.Repeat([]byte{5}, 1<<20)) {
				t.Errorf("other data in the device, %v", err)
			}
			if image[0] == "-f" {
				file := filepath.Join(t.TempDir(), "image")
				if err := os.WriteFile(file, pattern(64<<20), 0o600); err != nil {
					t.Fatal(err)
				}
				must(t, nil, "qemu-img", "convert", "-n", "-f", "raw", "-O", "raw", file, url)
				must(t, []string{"identical"}, "qemu-img", "compare", "-f", "raw", "-F", "raw", file, url)
			}
			if n := s.Stats()["DataDigestErrors"] + s.Stats()["HeaderDigestErrors"] + s.Stats()["ProtocolErrors"]; n > 0 {
				t.Errorf("%v", s.Stats())
			}
		})
	}
}

// testSecretWord has no character that libiscsi would take for something else.
const testSecretWord = "secret123456"

// startTgt starts tgt with LUN 1 of 64 MiB, and returns its address. Users are joe, and
// mjoe for the other direction, if chap.
func startTgt(t *testing.T, chap bool) (address string) {
	t.Helper()
	need.Programs(t, "tgtd", "tgtadm")
	if os.Geteuid() != 0 {
		if os.Getenv("CI") == "true" {
			t.Fatal("tgtd needs root")
		}
		t.Skip("tgtd needs root")
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	address = l.Addr().String()
	port := l.Addr().(*net.TCPAddr).Port
	l.Close()
	if err := os.MkdirAll("/run/tgtd", 0o755); err != nil {
		t.Fatal(err)
	}
	file := filepath.Join(t.TempDir(), "lun.img")
	if err := os.WriteFile(file, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Truncate(file, 64<<20); err != nil {
		t.Fatal(err)
	}
	control := fmt.Sprint(port % 32768)
	daemon := exec.Command("tgtd", "-f", "-C", control, "--iscsi", "portal="+address)
	if err := daemon.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		daemon.Process.Kill()
		daemon.Wait()
		os.Remove("/run/tgtd/socket." + control)
		os.Remove("/run/tgtd/socket." + control + ".lock")
	})
	admin := func(args ...string) (string, error) {
		return tool(t, "tgtadm", append([]string{"-C", control, "--lld", "iscsi"}, args...)...)
	}
	for deadline := time.Now().Add(30 * time.Second); ; time.Sleep(20 * time.Millisecond) {
		if _, err := admin("--op", "show", "--mode", "sys"); err == nil {
			break
		}
		if time.Now().After(deadline) {
			t.Fatal("tgtd does not answer")
		}
	}
	commands := []string{
		"--op new --mode target --tid 1 -T " + testTarget,
		"--op new --mode logicalunit --tid 1 --lun 1 --backing-store " + file,
		"--op update --mode logicalunit --tid 1 --lun 1 --params thin_provisioning=1",
		"--op update --mode target --tid 1 --name HeaderDigest --value CRC32C,None",
		"--op update --mode target --tid 1 --name DataDigest --value CRC32C,None",
	}
	if chap {
		commands = append(commands,
			"--op new --mode account --user joe --password "+testSecretWord,
			"--op bind --mode account --tid 1 --user joe",
			"--op new --mode account --user mjoe --password msecret12345",
			"--op bind --mode account --tid 1 --user mjoe --outgoing")
	}
	for _, c := range append(commands, "--op bind --mode target --tid 1 -I ALL") {
		if out, err := admin(strings.Fields(c)...); err != nil {
			t.Fatalf("tgtadm %s: %v\n%s", c, err, out)
		}
	}
	return address
}

// The initiator finds tgt's target and uses its unit, with CHAP both ways and digests.
func TestInitiatorAgainstTgt(t *testing.T) {
	for _, c := range []struct {
		name   string
		chap   bool
		dialer Dialer
		ok     bool
	}{
		{"plain", false, Dialer{}, true},
		{"digests", false, Dialer{HeaderDigest: true, DataDigest: true}, true},
		{"CHAP", true, Dialer{User: "joe", Secret: testSecretWord, HeaderDigest: true}, true},
		{"mutual CHAP", true, Dialer{User: "joe", Secret: testSecretWord, MutualUser: "mjoe", MutualSecret: "msecret12345"}, true},
		{"wrong secret", true, Dialer{User: "joe", Secret: "another secret"}, false},
		{"another target", true, Dialer{User: "joe", Secret: testSecretWord, MutualUser: "mjoe", MutualSecret: "another secret"}, false},
		{"no CHAP", true, Dialer{}, false},
	} {
		t.Run(c.name, func(t *testing.T) {
			address := startTgt(t, c.chap)
			found, err := (&Dialer{}).Discover(t.Context(), address)
			if err != nil || len(found) != 1 || found[0].Name != testTarget {
				t.Fatalf("%+v %v", found, err)
			}
			s, err := c.dialer.Session(t.Context(), address, testTarget)
			if (err == nil) != c.ok {
				t.Fatalf("%v", err)
			}
			if err != nil {
				return
			}
			defer s.Close()
			luns, err := s.LUNs(t.Context())
			if err != nil || fmt.Sprint(luns) != "[0 1]" {
				t.Errorf("%v %v", luns, err)
			}
			dev, err := s.Open(t.Context(), 1)
			if err != nil {
				t.Fatal(err)
			}
			useDevice(t, dev)
		})
	}
}

// useDevice writes, reads, trims and zeroes a device of 64 MiB and compares.
func useDevice(t *testing.T, dev *Device) {
	t.Helper()
	if size, err := dev.Size(); err != nil || size != 64<<20 {
		t.Fatalf("%d %v", size, err)
	}
	disk, err := block.NewDisk(dev)
	if err != nil {
		t.Fatal(err)
	}
	if i := dev.Info(); !i.Trim || !i.Zero || !i.FUA {
		t.Errorf("the unit is said to have no UNMAP, WRITE SAME or FUA: %+v", i)
	}
	model := pattern(8 << 20)
	check := func(what string) {
		t.Helper()
		got := make([]byte, len(model))
		if _, err := disk.ReadAt(got, 1<<20); err != nil || !bytes.Equal(got, model) {
			t.Fatalf("after %s: other data, %v", what, err)
		}
	}
	if _, err := disk.WriteAt(model, 1<<20); err != nil {
		t.Fatal(err)
	}
	check("a write")
	copy(model[777:], "unaligned")
	if _, err := disk.WriteAt([]byte("unaligned"), 1<<20+777); err != nil {
		t.Fatal(err)
	}
	check("an unaligned write")
	clear(model[2<<20 : 3<<20])
	if err := disk.WriteZeroes(3<<20, 1<<20, 0); err != nil {
		t.Fatal(err)
	}
	check("zeroes")
	if err := disk.Trim(1<<20, 1<<20); err != nil {
		t.Fatal(err)
	}
	if _, err := disk.WriteAt(model[:1<<20], 1<<20); err != nil {
		t.Fatal(err)
	}
	check("a trim")
	if err := disk.Sync(); err != nil {
		t.Fatal(err)
	}
	if _, err := dev.ReadAt(make([]byte, 512), 64<<20); err == nil {
		t.Error("there is something behind the end")
	}
}
