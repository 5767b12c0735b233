package guest

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/seed-012105e5/gonet/internal/testing/need"
)

func TestMain(m *testing.M) {
	Main(m, map[string]Job{"greet": greet})
}

// greet talks with the host, looks for what was asked for, and fails.
func greet(in *Inside) error {
	in.Tell("hello from %s", in.Args[0])
	answer, err := in.Hear()
	if err != nil {
		return err
	}
	out, err := in.Run("sleep", "--version")
	if err != nil {
		return err
	}
	in.Tell("%s, %s", answer, strings.Fields(out)[0])
	text, err := os.ReadFile("/a/file")
	if err != nil {
		return err
	}
	if _, err := os.Stat("/sys/block/nbd1"); err != nil {
		return err
	}
	if _, err := os.Stat("/sys/block/nbd2"); err == nil {
		return fmt.Errorf("the parameter of a module was not heeded")
	}
	return fmt.Errorf("an error\n%s", text)
}

// TestGuest boots a guest that talks with the test, and kills another.
func TestGuest(t *testing.T) {
	file := filepath.Join(t.TempDir(), "file")
	if err := os.WriteFile(file, []byte("of two lines"), 0o600); err != nil {
		t.Fatal(err)
	}
	began := time.Now()
	g := Start(t, Config{Job: "greet", Args: []string{"a b"}, Modules: []string{"nbd nbds_max=2"}, Programs: []string{need.Program(t, "sleep")},
		Files: map[string]string{"/a/file": file}, Network: true})
	if line := <-g.Lines; line != "hello from a b" {
		t.Fatalf("%q, %v", line, g.Wait())
	}
	t.Logf("the job began after %v", time.Since(began))
	if err := g.Say("good day"); err != nil {
		t.Error(err)
	}
	if line := <-g.Lines; line != "good day, sleep" {
		t.Errorf("%q", line)
	}
	if err := g.Wait(); err == nil || err.Error() != "an error\nof two lines" {
		t.Error(err)
	}
	g = Start(t, Config{Job: "no such job"})
	g.Kill()
	if err := g.Wait(); err == nil || !strings.Contains(err.Error(), "died before its job was done") {
		t.Error(err)
	}
}
