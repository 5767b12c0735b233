package main

import (
	"io"
	"net/http"
	"os"
	"os/exec"
	"strings"
	"testing"
	"time"

	"github.com/seed-012105e5/gonet/internal/testing/netns"
)

// programEnv has the test run itself as the program.
const programEnv = "GONET_HELLO_PROGRAM"

func TestMain(m *testing.M) {
	if os.Getenv(programEnv) != "" {
		main()
	}
	netns.Main(m)
}

// TestREADME holds the program against README, which shows it whole.
func TestREADME(t *testing.T) {
	program, err := os.ReadFile("main.go")
	if err != nil {
		t.Fatal(err)
	}
	readme, err := os.ReadFile("../../README.md")
	if err != nil {
		t.Fatal(err)
	}
	_, text, _ := strings.Cut(string(program), "package main\n")
	if !strings.Contains(string(readme), "```go\npackage main\n"+text+"```\n") {
		t.Error("README shows another program")
	}
}

// TestHello runs the program in a network namespace, and has the kernel there fetch the page.
func TestHello(t *testing.T) {
	ns := netns.Test(t)
	netns.NeedTun(t)
	cmd := exec.CommandContext(t.Context(), "/proc/self/exe")
	cmd.Env = append(os.Environ(), programEnv+"=1")
	cmd.Stderr = os.Stderr
	if err := ns.Start(cmd); err != nil {
		t.Fatal(err)
	}
	ended := make(chan error, 1)
	go func() { ended <- cmd.Wait() }()
	defer func() { cmd.Process.Kill(); <-ended }()

	client := &http.Client{Timeout: 10 * time.Second, Transport: &http.Transport{DialContext: ns.Dial, DisableKeepAlives: true}}
	for end := time.Now().Add(time.Minute); ; time.Sleep(10 * time.Millisecond) {
		response, err := client.Get("http://10.0.0.2/")
		if err != nil { // there is no way to the address before the card is there
			select {
			case err := <-ended:
				ended <- err
				t.Fatalf("the program has ended: %v", err)
			default:
			}
			if time.Now().After(end) {
				t.Fatal(err)
			}
			continue
		}
		defer response.Body.Close()
		text, err := io.ReadAll(response.Body)
		if err != nil || response.StatusCode != http.StatusOK || string(text) != "Hello from a network stack in Go.\n" {
			t.Errorf("status %d, %q, %v", response.StatusCode, text, err)
		}
		return
	}
}
