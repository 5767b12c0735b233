package netdiff

import (
	"bufio"
	"flag"
	"math/rand/v2"
	"net/netip"
	"os"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/seed-012105e5/gonet"
	"github.com/seed-012105e5/gonet/internal/testing/netns"
	"github.com/seed-012105e5/gonet/link"
)

var (
	update = flag.Bool("update", false, "write doc/differences.md")
	seed   = flag.Uint64("seed", 1, "of the generated sequences")
	count  = flag.Int("count", 2000, "how many are generated")
)

func TestMain(m *testing.M) { netns.Main(m) }

// named is a sequence by hand.
type named struct {
	name string
	sequence
}

func readSequences(t *testing.T) (all []named) {
	t.Helper()
	f, err := os.Open("testdata/sequences.txt")
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	var n named
	for s := bufio.NewScanner(f); s.Scan(); {
		switch line := s.Text(); {
		case line == "":
			if n.sequence != nil {
				all = append(all, n)
			}
			n = named{}
		case strings.HasPrefix(line, "# "):
			n.name = line[2:]
		default:
			n.sequence = append(n.sequence, line)
		}
	}
	if n.sequence != nil {
		all = append(all, n)
	}
	return all
}

// onStack runs s on a stack, in virtual time.
func onStack(t *testing.T, s sequence) (results []result) {
	synctest.Test(t, func(t *testing.T) {
		stk, err := gonet.New(gonet.Config{Link: link.Loopback(0), Addr: netip.MustParsePrefix("10.0.0.1/24")})
		if err != nil {
			t.Fatal(err)
		}
		defer stk.Close()
		results = run(stack{stk}, s)
	})
	return results
}

// namespaces are where the kernel's sockets are, one for each sequence that
// runs at the same time.
func namespaces(t *testing.T, n int) (all []*netns.NS) {
	for range n {
		ns := netns.Test(t)
		if err := ns.AddAddr("lo", netip.MustParsePrefix("10.0.0.1/24")); err != nil {
			t.Fatal(err)
		}
		if err := ns.SetUp("lo"); err != nil {
			t.Fatal(err)
		}
		all = append(all, ns)
	}
	return all
}

// tick is the unit of time on the kernel's sockets, at first.
const tick = 2 * time.Millisecond

// onKernel runs all sequences on the kernel's sockets, several at a time.
func onKernel(all []*netns.NS, sequences []sequence) [][]result {
	results := make([][]result, len(sequences))
	next := make(chan int)
	var workers sync.WaitGroup
	for _, ns := range all {
		workers.Go(func() {
			for i := range next {
				results[i] = run(kernel{ns.Do, tick}, sequences[i])
			}
		})
	}
	for i := range sequences {
		next <- i
	}
	close(next)
	workers.Wait()
	return results
}

// tries is how often the kernel is asked, slower each time: what it does first
// of two things that happen at once is chance, and a slow machine takes part.
const tries = 5

// check compares, and asks the kernel again where there is a difference.
func check(t *testing.T, ns *netns.NS, s sequence, ofNet []result) (meant []string) {
	t.Helper()
	ofGonet := onStack(t, s)
	unexplained, meant := compare(ofNet, ofGonet)
	for n := 1; unexplained != "" && n < tries; n++ {
		ofNet = run(kernel{ns.Do, tick << n}, s)
		unexplained, meant = compare(ofNet, ofGonet)
	}
	if unexplained != "" {
		t.Errorf("%s\n\nthe sequence:\n%s", unexplained, strings.Join(s, "\n"))
	}
	return meant
}

// TestByHand holds GoNet's sockets against package net's, and finds each
// difference of the list.
func TestByHand(t *testing.T) {
	all := readSequences(t)
	var sequences []sequence
	for _, n := range all {
		sequences = append(sequences, n.sequence)
	}
	ns := namespaces(t, 16)
	seen := map[string]bool{}
	results := onKernel(ns, sequences)
	for i, n := range all {
		t.Run(strings.ReplaceAll(n.name, " ", "-"), func(t *testing.T) {
			for _, d := range check(t, ns[0], n.sequence, results[i]) {
				seen[d] = true
			}
		})
	}
	for _, d := range differences() {
		if d.step != nil && !seen[d.what] {
			t.Errorf("no sequence shows the difference %q: take it from the list", d.what)
		}
	}
}

// TestGenerated does the same with sequences from a seed.
func TestGenerated(t *testing.T) {
	n := *count
	if testing.Short() {
		n /= 10
	}
	dice := rand.New(rand.NewPCG(*seed, 0))
	var sequences []sequence
	for range n {
		sequences = append(sequences, generate(dice))
	}
	ns := namespaces(t, 32)
	results := onKernel(ns, sequences)
	for i, s := range sequences {
		check(t, ns[0], s, results[i])
	}
}

// TestPage: doc/differences.md is what the list says.
func TestPage(t *testing.T) {
	const name = "../../../doc/differences.md"
	if *update {
		if err := os.WriteFile(name, []byte(page()), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	got, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	if string(got) != page() {
		t.Error("doc/differences.md is not what the list says: go test ./internal/testing/netdiff -update")
	}
}
