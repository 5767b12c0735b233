package iscsi

import (
	"bytes"
	"context"
	"flag"
	"fmt"
	"net"
	"os"
	"os/exec"
	"regexp"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/seed-012105e5/gonet/storage/block"
	"github.com/seed-012105e5/gonet/storage/scsi"
)

var update = flag.Bool("update", false, "write CONFORMANCE.md anew")

// need skips the test where a program is missing, but not in CI.
func need(t *testing.T, programs ...string) {
	t.Helper()
	for _, p := range programs {
		if _, err := exec.LookPath(p); err == nil {
			continue
		}
		if os.Getenv("CI") == "true" {
			t.Fatalf("%s is not installed", p)
		}
		t.Skipf("%s is not installed", p)
	}
}

// Units of the server that the suite meets.
const (
	suiteDisk      = 1
	suiteRemovable = 2
	suiteReadOnly  = 3
)

// conformanceReasons say why a case is not passed, by a prefix of its name. A case that
// has none must pass.
var conformanceReasons = []struct{ prefix, result, reason string }{
	{"SCSI.Sanitize.", "SKIP", "SANITIZE is left out: it overwrites a whole unit, which the owner of its device does better"},
	{"SCSI.WriteAtomic16.", "SKIP", "WRITE ATOMIC (16) is of SBC-4, not of SBC-3"},
	{"SCSI.WriteSame10.UnmapUntilEnd", "FAIL", "the case gives FFh to WRITE SAME with UNMAP and expects zeroes; SBC-3 4.7.3.4.4 has the data written where unmapped blocks would read as others (LBPRZ is one)"},
	{"SCSI.GetLBAStatus.UnmapSingle", "FAIL", "with 8 logical blocks in a physical one the case asks for block i+1 and expects a descriptor of i+8; SBC-3 5.4.2 has the first one begin where it was asked for"},
	{"iSCSI.iSCSITMF.LUNResetSimpleAsync", "FAIL", "a fault of the case: right after it has queued the request it looks whether the answer has been handled, before it has read anything (test_async_lu_reset_simple.c); no target can pass it"},
}

// suiteCase is one case of iscsi-test-cu, with what others have made of it.
type suiteCase struct{ name, tgt, gotgt, result, said string }

// unit is the one that a case needs.
func (c *suiteCase) unit() int {
	switch {
	case strings.HasPrefix(c.name, "SCSI.PreventAllow."), strings.HasPrefix(c.name, "SCSI.StartStopUnit."), strings.HasPrefix(c.name, "SCSI.NoMedia."):
		return suiteRemovable
	case strings.HasPrefix(c.name, "SCSI.ReadOnly."):
		return suiteReadOnly
	}
	return suiteDisk
}

// suiteServer serves what the suite needs, with units that nobody has written to: some
// cases take that for granted.
func suiteServer(t *testing.T) (s *Server, address string) {
	t.Helper()
	s = &Server{}
	units, err := s.Add(Target{Name: testTarget})
	if err != nil {
		t.Error(err)
		return
	}
	for _, c := range []struct {
		lun    int
		config scsi.UnitConfig
	}{
		{suiteDisk, scsi.UnitConfig{}},
		{suiteRemovable, scsi.UnitConfig{Removable: true}},
		{suiteReadOnly, scsi.UnitConfig{ReadOnly: true}},
	} {
		if c.config.Disk, err = block.NewDisk(block.NewMemory(100 << 20)); err != nil {
			t.Error(err)
			return
		}
		c.config.Serial = fmt.Sprint("suite", c.lun)
		u, err := scsi.NewUnit(c.config)
		if err != nil {
			t.Error(err)
			return
		}
		if err := units.Add(c.lun, u); err != nil {
			t.Error(err)
			return
		}
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Error(err)
		return
	}
	go s.Serve(l)
	return s, l.Addr().String()
}

var (
	summaryRow = regexp.MustCompile(`(?m)^ *tests +\d+ +(\d+) +(\d+) +(\d+)`)
	complaint  = regexp.MustCompile(`\[(?:SKIPPED|FAILED)\][^\n]*`)
)

// run runs one case alone, and says how it has ended.
func (c *suiteCase) run(t *testing.T, address string) {
	ctx, cancel := context.WithTimeout(t.Context(), 2*time.Minute)
	defer cancel()
	url := fmt.Sprintf("iscsi://%s/%s/%d", address, testTarget, c.unit())
	args := []string{"-d", "-n", "--test=" + c.name, url}
	if strings.HasPrefix(c.name, "SCSI.MultipathIO.") {
		args = append(args, url) // another session with the same unit
	}
	cmd := exec.CommandContext(ctx, "iscsi-test-cu", args...)
	cmd.WaitDelay = time.Second
	out, err := cmd.CombinedOutput()
	row := summaryRow.FindSubmatch(out)
	c.said = string(complaint.Find(out))
	switch {
	case ctx.Err() != nil:
		c.result = "TIMEOUT"
	case row == nil:
		c.result, c.said = "FAIL", fmt.Sprintf("it did not run: %v %.300s", err, out)
	case string(row[3]) != "0" || string(row[1]) == "0":
		c.result = "FAIL"
	case bytes.Contains(out, []byte("[SKIPPED]")):
		c.result = "SKIP"
	default:
		c.result = "PASS"
	}
}

// runAgain runs a case up to three times until it passes or skips. Some drop a connection
// and look at once, over another one, at what the end of the first has done
// (PreventAllow.ITNexusLoss): on a busy machine the second may be the faster.
func (c *suiteCase) runAgain(t *testing.T) {
	for range 3 {
		s, address := suiteServer(t)
		c.run(t, address)
		s.Close()
		if c.result == "PASS" || c.result == "SKIP" {
			return
		}
	}
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

// The whole suite of libiscsi 1.19 runs case by case. CONFORMANCE.md is what came out;
// a case that is worse or better than it says fails the test.
func TestConformance(t *testing.T) {
	if testing.Short() {
		t.Skip("the whole suite takes half a minute")
	}
	need(t, "iscsi-test-cu")
	cases := readSuite(t)
	work := make(chan *suiteCase)
	var workers sync.WaitGroup
	for range 4 {
		workers.Go(func() {
			for c := range work {
				c.runAgain(t)
			}
		})
	}
	for _, c := range cases {
		work <- c
	}
	close(work)
	workers.Wait()
	var report strings.Builder
	counts := map[string]map[string]int{"GoNet": {}, "tgt": {}, "gotgt": {}}
	var rows strings.Builder
	for _, c := range cases {
		counts["GoNet"][c.result]++
		counts["tgt"][c.tgt]++
		counts["gotgt"][c.gotgt]++
		reason := ""
		if c.result != "PASS" {
			for _, r := range conformanceReasons {
				if strings.HasPrefix(c.name, r.prefix) && r.result == c.result {
					reason = r.reason
				}
			}
			if reason == "" {
				t.Errorf("%s: %s: %s", c.name, c.result, c.said)
			}
		}
		fmt.Fprintf(&rows, "| %s | %s | %s | %s | %s |\n", c.name, c.result, c.tgt, c.gotgt, reason)
	}
	report.WriteString("# The suite of libiscsi 1.19 against this target\n\n" +
		"Written by `go test ./storage/iscsi -run TestConformance -update`: `iscsi-test-cu --dataloss`,\n" +
		"each case alone, against units over memory. The same test fails where a case does not\n" +
		"do what stands here. tgt (1.0.85) and gotgt are beside it as they were measured once, with\n" +
		"a file of 100 MB; their suites had neither a removable nor a read-only unit, nor a second path.\n" +
		"SKIP is a case that says itself that something was missing.\n\n" +
		"| | PASS | SKIP | FAIL | TIMEOUT |\n|---|---|---|---|---|\n")
	for _, who := range []string{"GoNet", "tgt", "gotgt"} {
		n := counts[who]
		fmt.Fprintf(&report, "| %s | %d | %d | %d | %d |\n", who, n["PASS"], n["SKIP"], n["FAIL"], n["TIMEOUT"])
	}
	report.WriteString("\n| case | GoNet | tgt | gotgt | why |\n|---|---|---|---|---|\n" + rows.String())
	if *update {
		if err := os.WriteFile("CONFORMANCE.md", []byte(report.String()), 0o644); err != nil {
			t.Fatal(err)
		}
		return
	}
	have, err := os.ReadFile("CONFORMANCE.md")
	if err != nil || string(have) != report.String() {
		t.Errorf("CONFORMANCE.md is stale (%v): run go test ./storage/iscsi -run TestConformance -update", err)
	}
}
