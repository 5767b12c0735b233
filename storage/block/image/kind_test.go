package image

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/seed-012105e5/gonet/storage/block/spec"
)

func TestKind(t *testing.T) {
	dir := t.TempDir()
	name := filepath.Join(dir, "disk.qcow2")
	named(t, name, "golden", "raw")
	set := spec.Builtin().With(Kind())
	for s, want := range map[string]string{
		"image:" + name + ",base=memory:1M":          "",
		"image:" + name + ",base=memory:1M,cache=1M": "",
		"image:" + name + ",base=memory:1M,cow":      "",
		"image:" + name:                              "no such file",
		"image:" + name + ",named=none":              "may name no files",
		"image:" + name + ",named=all":               "folder, none or any",
		"image:" + name + ",base=x":                  "write its kind",
		"image:" + name + ",base=memory:1M,cache=1Q": "want digits",
		"image:":                 "no name",
		"image:" + dir + "/none": "no such file",
		"image:" + dir:           "neither a regular file",
	} {
		d, err := set.Open(t.Context(), s)
		if want != "" {
			if err == nil || !strings.Contains(err.Error(), want) {
				t.Errorf("%s: %v", s, err)
			}
			continue
		}
		if err != nil {
			t.Errorf("%s: %v", s, err)
			continue
		}
		if size, err := d.Size(); size != 40*512 || err != nil || d.ReadOnly() == strings.HasSuffix(s, ",cow") {
			t.Error(s, size, err, d.ReadOnly())
		}
		if err := d.Close(); err != nil {
			t.Error(err)
		}
	}
	if b, err := os.ReadFile(name); err != nil || len(b) != 6*512 {
		t.Error("the image has changed", err)
	}
}
