package guest

import (
	"bytes"
	"fmt"
	"os"
	"os/exec"
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

// TestArchive has cpio list what we write.
func TestArchive(t *testing.T) {
	cpio := need.Program(t, "cpio")
	var b bytes.Buffer
	a := newArchive(&b)
	a.file("d/e/odd", 0o755, []byte("12345"))
	a.file("d/f", 0o600, bytes.Repeat([]byte("x"), 5000))
	a.symlink("l", "d/f")
	a.dir("d/e")
	a.dir("z")
	if err := a.close(); err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	cmd := exec.Command(cpio, "-idv", "--quiet")
	cmd.Dir, cmd.Stdin = dir, &b
	out, err := cmd.CombinedOutput()
	if want := "d\nd/e\nd/e/odd\nd/f\nl\nz\n"; err != nil || string(out) != want {
		t.Fatalf("%v: %q", err, out)
	}
	for name, size := range map[string]int64{"d/e/odd": 5, "d/f": 5000, "l": 5000} {
		if info, err := os.Stat(filepath.Join(dir, name)); err != nil || info.Size() != size {
			t.Errorf("%s: %v, %v", name, info, err)
		}
	}
}
