package iscsi

import (
	"bytes"
	"context"
	"flag"
	"fmt"
	"net"
	"net/netip"
	"os"
	"os/exec"
	"regexp"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/seed-012105e5/gonet"
	"github.com/seed-012105e5/gonet/internal/testing/need"
	"github.com/seed-012105e5/gonet/internal/testing/netns"
	"github.com/seed-012105e5/gonet/storage/block"
	"github.com/seed-012105e5/gonet/storage/scsi"
	"github.com/seed-012105e5/gonet/tap"
)

var update = flag.Bool("update", false, "write CONFORMANCE.md anew")

// Units of the server that the suite meets.
const (
	suiteDisk      = 1
	suiteRemovable = 2
	suiteReadOnly  = 3
	suiteNative    = 4 // its physical blocks are as small as the logical ones
	suiteForgets   = 5 // blocks that were unmapped read as anything: LBPRZ is zero
)

// suiteUnits say which cases run on another unit than suiteDisk, by a prefix of their
// names, and why where that is not plain.
var suiteUnits = []struct {
	prefix string
	unit   int
	why    string
}{
	{"SCSI.PreventAllow.", suiteRemovable, ""},
	{"SCSI.StartStopUnit.", suiteRemovable, ""},
	{"SCSI.NoMedia.", suiteRemovable, ""},
	{"SCSI.ReadOnly.", suiteReadOnly, ""},
	{"SCSI.GetLBAStatus.UnmapSingle", suiteNative, "runs on a unit whose physical blocks are logical ones: with 8 logical blocks in a physical one the case asks for block i+1 and expects a descriptor of i+8, but SBC-3 5.4.2 has the first descriptor begin with the block that was asked for"},
	{"SCSI.WriteSame10.UnmapUntilEnd", suiteForgets, "runs on a unit with LBPRZ zero: where it is one the case writes FFh by WRITE SAME with UNMAP and expects zeroes, but SBC-3 4.7.3.4.4 has blocks written that would not read as the data-out once they are unmapped (the twin of the case for WRITE SAME(16) clears its buffer first)"},
}

// conformanceReasons say why a case is not passed, by a prefix of its name. A case that
// has none must pass.
var conformanceReasons = []struct{ prefix, result, reason string }{
	{"SCSI.Sanitize.", "SKIP", "SANITIZE is left out: it overwrites a whole unit, which the owner of its device does better"},
	{"SCSI.WriteAtomic16.", "SKIP", "WRITE ATOMIC (16) is of SBC-4, not of SBC-3"},
	{"iSCSI.iSCSITMF.LUNResetSimpleAsync", "FAIL", "a fault of the case: it looks whether the request was answered right after it has queued it, before it has sent it (RFC 7143 11.6 has the answer follow the request), and ends; no target passes it. TestLogicalUnitReset does what it means to do"},
}

// suiteCase is one case of iscsi-test-cu, with what others have made of it.
type suiteCase struct {
	name, tgt, gotgt string
	results          [2]suiteResult // over each of the transports
}

// A suiteResult is how a case has ended, and what it has said.
type suiteResult struct{ result, said string }

// unit is the one that a case needs.
func (c *suiteCase) unit() (unit int, why string) {
	for _, u := range suiteUnits {
		if strings.HasPrefix(c.name, u.prefix) {
			return u.unit, u.why
		}
	}
	return suiteDisk, ""
}

// reason is why a case may end with that result.
func (c *suiteCase) reason(result string) string {
	for _, r := range conformanceReasons {
		if strings.HasPrefix(c.name, r.prefix) && r.result == result {
			return r.reason
		}
	}
	return ""
}

// forgetful is a Memory whose blocks, once they are trimmed, read as anything.
type forgetful struct{ block.Device }

func (f forgetful) Trim(off, length int64) error { return f.Device.(*block.Memory).Trim(off, length) }

// A suiteTransport is what the suite reaches servers over.
type suiteTransport struct {
	name   string
	listen func() (net.Listener, error)
	output func(*exec.Cmd) ([]byte, error)
}

// kernelSockets is a transport over sockets of the kernel's.
func kernelSockets() suiteTransport {
	return suiteTransport{
		name:   "the kernel's sockets",
		listen: func() (net.Listener, error) { return net.Listen("tcp", "127.0.0.1:0") },
		output: (*exec.Cmd).CombinedOutput,
	}
}

// overTap is a transport over a stack of ours, behind a tap in a namespace of its own.
func overTap(t *testing.T) suiteTransport {
	t.Helper()
	ns := netns.Test(t)
	netns.NeedTun(t)
	var stack *gonet.Stack
	err := ns.Do(func() error {
		card, err := tap.Open(tap.Config{HostAddr: netip.MustParsePrefix("10.0.0.1/24")})
		if err != nil {
			return err
		}
		stack, err = gonet.New(gonet.Config{Link: card, Addr: netip.MustParsePrefix("10.0.0.2/24")})
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { stack.Close() })
	return suiteTransport{
		name:   "GoNet on a tap",
		listen: func() (net.Listener, error) { return stack.Listen("tcp", "10.0.0.2:0") },
		output: func(cmd *exec.Cmd) ([]byte, error) {
			var out bytes.Buffer
			cmd.Stdout, cmd.Stderr = &out, &out
			err := ns.Start(cmd)
			if err == nil {
				err = cmd.Wait()
			}
			return out.Bytes(), err
		},
	}
}

// suiteServer serves a unit of that kind, and that nobody has written to: some cases
// take that for granted.
func suiteServer(l net.Listener, lun int) (*Server, error) {
	dev := block.Device(block.NewMemory(100 << 20))
	c := scsi.UnitConfig{Serial: fmt.Sprint("suite", lun), Removable: lun == suiteRemovable, ReadOnly: lun == suiteReadOnly}
	switch lun {
	case suiteNative:
		c.PhysicalBlock = 512
	case suiteForgets:
		dev = forgetful{dev}
	}
	var err error
	if c.Disk, err = block.NewDisk(dev); err != nil {
		return nil, err
	}
	u, err := scsi.NewUnit(c)
	if err != nil {
		return nil, err
	}
	s := &Server{}
	units, err := s.Add(Target{Name: testTarget})
	if err != nil {
		return nil, err
	}
	if err := units.Add(lun, u); err != nil {
		return nil, err
	}
	go s.Serve(l)
	return s, nil
}

var (
	summaryRow = regexp.MustCompile(`(?m)^ *tests +\d+ +(\d+) +(\d+) +(\d+)`)
	complaint  = regexp.MustCompile(`\[(?:SKIPPED|FAILED)\][^\n]*`)
)

// run runs one case alone, against a server of its own, and says how it has ended.
func (c *suiteCase) run(ctx context.Context, over suiteTransport) suiteResult {
	unit, _ := c.unit()
	l, err := over.listen()
	if err != nil {
		return suiteResult{"FAIL", err.Error()}
	}
	s, err := suiteServer(l, unit)
	if err != nil {
		return suiteResult{"FAIL", err.Error()}
	}
	defer s.Close()
	ctx, cancel := context.WithTimeout(ctx, 2*time.Minute)
	defer cancel()
	url := fmt.Sprintf("iscsi://%s/%s/%d", l.Addr(), testTarget, unit)
	args := []string{"-d", "-n", "--test=" + c.name, url}
	if strings.HasPrefix(c.name, "SCSI.MultipathIO.") {
		args = append(args, url) // another session with the same unit
	}
	cmd := exec.CommandContext(ctx, "iscsi-test-cu", args...)
	cmd.WaitDelay = time.Second
	out, err := over.output(cmd)
	row := summaryRow.FindSubmatch(out)
	said := string(complaint.Find(out))
	switch {
	case ctx.Err() != nil:
		return suiteResult{"TIMEOUT", said}
	case row == nil:
		return suiteResult{"FAIL", fmt.Sprintf("it did not run: %v %.300s", err, out)}
	case string(row[3]) != "0" || string(row[1]) == "0":
		return suiteResult{"FAIL", said}
	case bytes.Contains(out, []byte("[SKIPPED]")):
		return suiteResult{"SKIP", said}
	}
	return suiteResult{"PASS", said}
}

func readSuite(t *testing.T) (cases []*suiteCase) {
	t.Helper()
	text, err := os.ReadFile("testdata/libiscsi-1.19-peers.txt")
	if err != nil {
		t.Fatal(err)
	}
	for line := range strings.Lines(string(text)) {
		if f := strings.Fields(line); len(f) == 3 && f[0] != "#" {
			cases = append(cases, &suiteCase{name: f[0], tgt: f[1], gotgt: f[2]})
		}
	}
	if len(cases) != 230 {
		t.Fatalf("%d cases", len(cases))
	}
	return cases
}

// The whole suite of libiscsi 1.19 runs case by case, over the kernel's sockets and over
// a stack of ours. CONFORMANCE.md is what came out; a case that is worse or better than
// it says fails the test.
func TestConformance(t *testing.T) {
	if testing.Short() {
		t.Skip("the whole suite takes half a minute")
	}
	need.Programs(t, "iscsi-test-cu")
	cases := readSuite(t)
	transports := [2]suiteTransport{kernelSockets(), overTap(t)}
	type job struct {
		c    *suiteCase
		over int
	}
	work := make(chan job)
	var workers sync.WaitGroup
	for range 8 {
		workers.Go(func() {
			for j := range work {
				j.c.results[j.over] = j.c.run(t.Context(), transports[j.over])
			}
		})
	}
	for _, c := range cases {
		for over := range transports {
			work <- job{c, over}
		}
	}
	close(work)
	workers.Wait()
	for _, c := range cases {
		for over, r := range c.results {
			if r.result != "PASS" && c.reason(r.result) == "" {
				t.Errorf("%s over %s: %s: %s", c.name, transports[over].name, r.result, r.said)
			}
		}
	}
	report := suiteReport(cases)
	if *update {
		if err := os.WriteFile("CONFORMANCE.md", []byte(report), 0o644); err != nil {
			t.Fatal(err)
		}
		return
	}
	have, err := os.ReadFile("CONFORMANCE.md")
	if err != nil || string(have) != report {
		t.Errorf("CONFORMANCE.md is stale (%v): run go test ./storage/iscsi -run TestConformance -update", err)
	}
}

// suiteReport is CONFORMANCE.md.
func suiteReport(cases []*suiteCase) string {
	columns := []string{"GoNet, the kernel's sockets", "GoNet, its own stack", "tgt", "gotgt"}
	counts := make([]map[string]int, len(columns))
	for i := range counts {
		counts[i] = map[string]int{}
	}
	var rows, report strings.Builder
	for _, c := range cases {
		fmt.Fprintf(&rows, "| %s |", c.name)
		_, why := c.unit()
		for i, r := range []string{c.results[0].result, c.results[1].result, c.tgt, c.gotgt} {
			counts[i][r]++
			fmt.Fprintf(&rows, " %s |", r)
		}
		if reason := c.reason(c.results[0].result); reason != "" {
			why = reason
		}
		fmt.Fprintf(&rows, " %s |\n", why)
	}
	report.WriteString("# The suite of libiscsi 1.19 against this target\n\n" +
		"Written by `go test ./storage/iscsi -run TestConformance -update`: `iscsi-test-cu --dataloss`,\n" +
		"each case alone and once, against a unit over memory, over the kernel's sockets and over\n" +
		"a stack of ours behind a tap. The same test fails where a case does not do what stands\n" +
		"here. tgt (1.0.85) and gotgt are beside it as they were measured once, with a file of\n" +
		"100 MB; their suites had neither a removable nor a read-only unit, nor a second path.\n" +
		"SKIP is a case that says itself that something was missing.\n\n" +
		"| | PASS | SKIP | FAIL | TIMEOUT |\n|---|---|---|---|---|\n")
	for i, who := range columns {
		n := counts[i]
		fmt.Fprintf(&report, "| %s | %d | %d | %d | %d |\n", who, n["PASS"], n["SKIP"], n["FAIL"], n["TIMEOUT"])
	}
	report.WriteString("\n| case | sockets | stack | tgt | gotgt | why |\n|---|---|---|---|---|---|\n" + rows.String())
	return report.String()
}
