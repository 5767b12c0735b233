package guest

import (
	"bytes"
	"os"
	"os/exec"
	"path/filepath"
	"testing"

	"github.com/seed-012105e5/gonet/internal/testing/need"
)

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
