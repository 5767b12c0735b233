package setup

import (
	"flag"
	"fmt"
	"slices"
	"strings"
)

// groups are the flags that programs share, as -h shows them, behind those of the
// program's own.
var groups = [...]struct {
	title string
	flags []string
}{
	{"The stack and its tap", []string{"tap", "addr", "host", "mtu", "offload", "dns"}},
	{"Without root, and from outside", []string{"rootless", "forward"}},
	{"What is printed and recorded", []string{"quiet", "stats", "pcap"}},
	{"A bad line to the other end", []string{"loss", "reorder", "delay", "rate", "queue", "seed"}},
}

// help is what -h prints.
func (f *Flags) help() {
	fmt.Fprintf(f.Out, "%s\n\nUsage: %s [flags]", strings.TrimSpace(f.about), f.Name())
	if f.args != "" {
		fmt.Fprint(f.Out, " ", f.args)
	}
	fmt.Fprintln(f.Out)
	if f.examples != nil {
		fmt.Fprint(f.Out, "\nExamples:\n")
	}
	for _, line := range f.examples {
		fmt.Fprintf(f.Out, "  %s\n", strings.TrimSpace(f.Name()+" "+line))
	}
	shared := map[string]bool{}
	for _, g := range groups {
		for _, name := range g.flags {
			shared[name] = true
		}
	}
	f.helpGroup("Flags of "+f.Name(), func(name string) bool { return !shared[name] })
	for _, g := range groups {
		f.helpGroup(g.title, func(name string) bool { return slices.Contains(g.flags, name) })
	}
}

// helpGroup prints the flags that are in a group, if there are any.
func (f *Flags) helpGroup(title string, in func(name string) bool) {
	group := flag.NewFlagSet("", flag.ContinueOnError)
	group.SetOutput(f.Out)
	some := false
	f.VisitAll(func(one *flag.Flag) {
		if in(one.Name) {
			group.Var(one.Value, one.Name, one.Usage)
			group.Lookup(one.Name).DefValue = one.DefValue
			some = true
		}
	})
	if some {
		fmt.Fprintf(f.Out, "\n%s:\n", title)
		group.PrintDefaults()
	}
}
