// Conformance writes tcp/CONFORMANCE.md: for each requirement of the RFCs that
// the stack follows, whether it is met, and which test shows it.
//
//	go generate ./...                       write it
//	go run ./internal/testing/conformance -check    fail when it is stale
//
// The requirements are in the directory requirements, in our own words. Tests
// name those that they show (ids.go). Those that need no tap are run, and those
// that pass count.
package main

import (
	"bytes"
	"flag"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
)

//go:generate go run .

// packages are those whose tests name requirements.
var packages = []string{
	".", "./arp", "./dns", "./ethernet", "./icmp", "./internal/prf", "./internal/testing/packetdrill", "./internal/testing/stack", "./internal/testing/trouble", "./ip", "./ipv4", "./link", "./sim/...", "./tcp/...", "./udp",
}

const table = "tcp/CONFORMANCE.md"

func main() {
	check := flag.Bool("check", false, "write nothing; fail when "+table+" is stale")
	flag.Parse()
	if err := run(*check); err != nil {
		fmt.Fprintln(os.Stderr, "conformance:", err)
		os.Exit(1)
	}
}

func run(check bool) error {
	root, err := moduleRoot()
	if err != nil {
		return err
	}
	groups, err := readRequirements(os.DirFS(filepath.Join(root, "internal/testing/conformance/requirements")))
	if err != nil {
		return err
	}
	shown, err := runTests(root)
	if err != nil {
		return err
	}
	if err := join(groups, shown); err != nil {
		return err
	}
	file := filepath.Join(root, table)
	text := render(groups)
	if !check {
		if err := os.WriteFile(file, text, 0o666); err != nil {
			return err
		}
		return unmet(groups)
	}
	old, err := os.ReadFile(file)
	if err != nil {
		return err
	}
	if !bytes.Equal(old, text) {
		return fmt.Errorf("%s is stale; go generate ./... makes it anew", table)
	}
	return unmet(groups)
}

// moduleRoot is the directory of go.mod.
func moduleRoot() (string, error) {
	out, err := exec.Command("go", "env", "GOMOD").Output()
	if err != nil {
		return "", err
	}
	return filepath.Dir(strings.TrimSpace(string(out))), nil
}
