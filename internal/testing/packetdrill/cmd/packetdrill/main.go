// Command packetdrill runs scripts in packetdrill's language against a stack of
// ours, in virtual time: without root, a kernel or a network. It tells where
// they differ.
//
//	go run ./internal/testing/packetdrill/cmd/packetdrill FILE...
//
// Package packetdrill says what the language is.
package main

import (
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"strings"

	"github.com/seed-012105e5/gonet/internal/testing/packetdrill"
)

const usage = `usage: packetdrill [flags] FILE...

Runs scripts in packetdrill's language against a stack of GoNet, in virtual
time, and tells where they differ.

Flags:
  -linux          take scripts as written for Linux's TCP: PSH, the order of
                  options, how trains are cut and values of timestamps do not
                  count, Nagle's algorithm is on, and events may be late by 4 ms
                  or an eighth of their time
  -D NAME=value   have NAME stand for value in the scripts; may be repeated
  -set name=value have --name=value at the head of the scripts; may be repeated
  -v              print what happens
  -q              print differences only
  -h              print this

Examples:
  packetdrill internal/testing/packetdrill/testdata/rack/*.pkt
  packetdrill -v internal/testing/packetdrill/testdata/handshake/passive-open.pkt
  packetdrill -set tcp.Recovery=sack -set mtu=9000 my.pkt
  packetdrill -linux -D CODE=host_unreachable gtests/net/tcp/close/*.pkt

Exit status: 0 when all scripts pass, 1 when one differs or asks for what there
is not here, 2 when the arguments are wrong or a file cannot be read.
`

func main() { os.Exit(run(os.Args[1:], os.Stdout, os.Stderr)) }

// A symbols collects the values of -D.
type symbols map[string]string

func (s symbols) String() string { return "" }

func (s symbols) Set(text string) error {
	name, value, ok := strings.Cut(text, "=")
	if !ok || name == "" {
		return errors.New("want NAME=value")
	}
	s[name] = value
	return nil
}

// Exit statuses.
const (
	statusOK = iota
	statusDiffers
	statusUsage
)

// run is the program.
func run(args []string, stdout, stderr io.Writer) int {
	flags := flag.NewFlagSet("packetdrill", flag.ContinueOnError)
	flags.SetOutput(io.Discard)
	defines := make(symbols)
	linux := flags.Bool("linux", false, "")
	verbose := flags.Bool("v", false, "")
	quiet := flags.Bool("q", false, "")
	flags.Var(defines, "D", "")
	var settings []string
	flags.Func("set", "", func(text string) error {
		settings = append(settings, text)
		return make(symbols).Set(text)
	})
	switch err := flags.Parse(args); {
	case errors.Is(err, flag.ErrHelp):
		fmt.Fprint(stdout, usage)
		return statusOK
	case err != nil:
		fmt.Fprintf(stderr, "packetdrill: %v; -h tells more\n", err)
		return statusUsage
	case flags.NArg() == 0:
		fmt.Fprintln(stderr, "packetdrill: no script is given; -h tells more")
		return statusUsage
	}
	o := packetdrill.Options{Linux: *linux, Settings: settings}
	if *verbose {
		o.Trace = func(line string) { fmt.Fprintln(stdout, line) }
	} else if !*quiet {
		o.Print = func(line string) { fmt.Fprintln(stdout, line) }
	}
	var c count
	for _, file := range flags.Args() {
		c.add(file, runFile(file, defines, o), stdout, stderr, *quiet)
	}
	if !*quiet || c.status != statusOK {
		fmt.Fprintln(stdout, &c)
	}
	return c.status
}

// runFile runs the script of one file.
func runFile(name string, defines symbols, o packetdrill.Options) error {
	text, err := os.ReadFile(name)
	if err != nil {
		return err
	}
	s, err := packetdrill.ParseWith(name, string(text), defines)
	if err != nil {
		return err
	}
	return s.RunAlone(o)
}

// A count is how many scripts came out how.
type count struct {
	passed, differ, refused, unread int
	status                          int
}

// add takes the outcome of one script, and tells it.
func (c *count) add(file string, err error, stdout, stderr io.Writer, quiet bool) {
	var e *packetdrill.Error
	var unread *os.PathError
	switch {
	case err == nil:
		c.passed++
		if !quiet {
			fmt.Fprintf(stdout, "ok       %s\n", file)
		}
		return
	case errors.As(err, &unread):
		c.unread++
		c.status = statusUsage
		fmt.Fprintf(stderr, "packetdrill: %v\n", err)
		return
	case errors.As(err, &e) && e.Refused:
		c.refused++
		fmt.Fprintf(stdout, "refused  %v\n", err)
	default:
		c.differ++
		fmt.Fprintf(stdout, "differs  %v\n", err)
	}
	c.status = max(c.status, statusDiffers)
}

func (c *count) String() string {
	s := fmt.Sprintf("%d passed, %d differ, %d refused", c.passed, c.differ, c.refused)
	if c.unread > 0 {
		s += fmt.Sprintf(", %d not read", c.unread)
	}
	return s
}
