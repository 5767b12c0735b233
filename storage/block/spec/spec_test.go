package spec

import (
	"bytes"
	"context"
	"errors"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/seed-012105e5/gonet/storage/block"
)

func TestParseSize(t *testing.T) {
	for s, want := range map[string]int64{
		"0": 0, "1": 1, "512": 512, "64M": 64 << 20, "64m": 64 << 20, "64MiB": 64 << 20, "64MB": 64 << 20, "1K": 1024, "3G": 3 << 30,
		"2T": 2 << 40, "1P": 1 << 50, "7E": 7 << 60, "9223372036854775807": 1<<63 - 1,
	} {
		if n, err := ParseSize(s); n != want || err != nil {
			t.Errorf("%q is %d, %v", s, n, err)
		}
	}
	for _, s := range []string{"", "M", "-1", "+1", "1.5G", "0x10", "1Q", "1MM", "1Mi", "1iB", "1 M", "8E", "9223372036854775808", "1B", "B", "iB", "1Ki", "1_0"} {
		if n, err := ParseSize(s); err == nil {
			t.Errorf("%q is %d", s, n)
		}
	}
}

func TestParse(t *testing.T) {
	for s, want := range map[string]Spec{
		"memory:64M":                          {"memory", "64M", nil},
		"file:a,,b.img,ro,size=1G":            {"file", "a,b.img", []Option{{"ro", ""}, {"size", "1G"}}},
		"file:/a:b=c":                         {"file", "/a:b=c", nil},
		"file:":                               {"file", "", nil},
		"http://h:8/a,b?c=d#cache=1M,block=2": {"http", "http://h:8/a,b?c=d", []Option{{"cache", "1M"}, {"block", "2"}}},
		"overlay:x,base=file:a,,ro":           {"overlay", "x", []Option{{"base", "file:a,ro"}}},
		"nbd+unix:///e?socket=s":              {"nbd+unix", "nbd+unix:///e?socket=s", nil},
	} {
		got, err := Parse(s)
		if err != nil || got.Kind != want.Kind || got.Arg != want.Arg || !slices.Equal(got.Options, want.Options) {
			t.Errorf("%q is %+v, %v", s, got, err)
		}
	}
	for _, s := range []string{"", "disk.img", "/dev/sda", ":x", "File:x", "file:x,", "file:x,=1", "file:x,a b", "1a:x", "C:\\disk"} {
		if p, err := Parse(s); err == nil {
			t.Errorf("%q is %+v", s, p)
		}
	}
}

func FuzzParse(f *testing.F) {
	for _, s := range []string{"memory:64M", "file:a,,b,ro=1", "http://x/y#cache=1M", "overlay:x,base=file:a,,ro", "a:,,", "a://b#"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		p, err := Parse(s)
		if err != nil {
			return
		}
		again, err := Parse(p.String())
		if err != nil || again.Kind != p.Kind || again.Arg != p.Arg || !slices.Equal(again.Options, p.Options) {
			t.Errorf("%q is %+v, which is written %q, which is %+v, %v", s, p, p.String(), again, err)
		}
		if n, err := ParseSize(s); err == nil {
			if m, err := ParseSize(FormatSize(n)); m != n || err != nil || n < 0 {
				t.Errorf("%q is %d, which is written %q", s, n, FormatSize(n))
			}
		}
	})
}

// TestOpen opens what users write.
func TestOpen(t *testing.T) {
	dir := t.TempDir()
	golden := filepath.Join(dir, "golden,1.img")
	if err := os.WriteFile(golden, bytes.Repeat([]byte("golden"), 50000), 0o600); err != nil {
		t.Fatal(err)
	}
	server := httptest.NewServer(http.FileServer(http.Dir(dir)))
	defer server.Close()
	name := strings.ReplaceAll(golden, ",", ",,")
	for s, want := range map[string]struct {
		size     int64
		readOnly bool
	}{
		"memory:64M":                                          {64 << 20, false},
		"memory:1G,limit=1M":                                  {1 << 30, false},
		"memory:1M,ro":                                        {1 << 20, true},
		"memory:1M,ro=false":                                  {1 << 20, false},
		"memory:1M,range=1K+5K,delay=1us":                     {5 << 10, false},
		"memory:1M,cow,checksum,rate=100M":                    {1 << 20, false},
		"memory:1M,fail=0":                                    {1 << 20, false},
		"file:" + dir + "/new.img,create,size=3M":             {3 << 20, false},
		"file:" + name + ",ro":                                {300000, true},
		"file:" + name + ",ro,cow":                            {300000, false},
		"overlay:" + dir + "/o.cow,base=file:" + dbl(name):    {300000, false},
		"overlay:" + dir + "/m.cow,base=memory:1M,cluster=4K": {1 << 20, false},
		server.URL + "/golden,1.img#block=4K,cache=1M":        {300000, true},
		server.URL + "/golden,1.img#cow,readahead=0":          {300000, false},
	} {
		d, err := Builtin().Open(t.Context(), s)
		if err != nil {
			t.Errorf("%s: %v", s, err)
			continue
		}
		if size, err := d.Size(); size != want.size || err != nil || d.ReadOnly() != want.readOnly {
			t.Errorf("%s: %d bytes (%v), read-only %v", s, size, err, d.ReadOnly())
		}
		p := make([]byte, 6)
		if _, err := d.ReadAt(p, 0); err != nil || want.size == 300000 && string(p) != "golden" {
			t.Errorf("%s: %q, %v", s, p, err)
		}
		if !want.readOnly {
			if _, err := d.WriteAt([]byte("new"), 100); err != nil {
				t.Errorf("%s: %v", s, err)
			}
		}
		if err := d.Close(); err != nil {
			t.Errorf("%s: Close: %v", s, err)
		}
	}
	if text, _ := os.ReadFile(golden); !bytes.Equal(text, bytes.Repeat([]byte("golden"), 50000)) {
		t.Error("the golden image has changed")
	}
}

func dbl(s string) string { return strings.ReplaceAll(s, ",", ",,") }

func TestOpenRefuses(t *testing.T) {
	dir := t.TempDir()
	for s, want := range map[string]string{
		"disk.img":                               "write its kind",
		"foo:x":                                  `no kind "foo" of disks; there are memory, file, overlay, http, https`,
		"memory:1M,colour=red":                   `no option "colour"; there are checksum, cow`,
		"memory:":                                "no size",
		"memory:1M,range=5":                      "OFFSET+LENGTH",
		"memory:1M,range=1M+1":                   "beyond the end",
		"memory:1M,delay=5":                      "as in 5ms",
		"memory:1M,delay=-5s":                    "as in 5ms",
		"memory:1M,rate=0":                       "bytes a second",
		"memory:1M,fail=2":                       "from 0 to 1",
		"memory:1M,ro=maybe":                     "true or false",
		"memory:1000,checksum":                   "no multiple",
		"file:":                                  "no name",
		"file:" + dir:                            "directory",
		"file:" + dir + "/x,size=1Q":             "want digits",
		"overlay:" + dir + "/o":                  "base=DISK",
		"overlay:" + dir + "/o,base=x":           "write its kind",
		"overlay:" + dir + "/o,base=file:/none/": "no such file",
		"http://127.0.0.1:1/#block=1":            "power of two",
	} {
		if d, err := Builtin().Open(t.Context(), s); err == nil {
			d.Close()
			t.Errorf("%s: no error", s)
		} else if !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v", s, err)
		}
	}
	if _, err := os.Stat(filepath.Join(dir, "x")); err == nil {
		t.Error("a file was made of a specification that is wrong")
	}
}

// TestWith adds a kind, as a program does, and has it wrapped, closed and named.
func TestWith(t *testing.T) {
	closed := &closing{block.NewMemory(1 << 20), 0}
	set := Builtin().With(Kind{Name: "my", Arg: "X", Usage: "mine", Options: map[string]string{"hot": "is hot"},
		Open: func(_ context.Context, _ *Set, arg string, o Values) (block.Device, error) {
			if hot, err := o.Bool("hot"); arg != "//a/b" && !hot || err != nil {
				return nil, errors.New("is cold")
			}
			return closed, nil
		}})
	d, err := set.Open(t.Context(), "my:x,hot,delay=1ns")
	if err != nil {
		t.Fatal(err)
	}
	d.Close()
	if _, err := set.Open(t.Context(), "my:x"); err == nil || !strings.Contains(err.Error(), "my:x: is cold") {
		t.Error(err)
	}
	if _, err := set.Open(t.Context(), "my:x,hot,fail=7"); err == nil || closed.n != 2 {
		t.Errorf("%v; the device was closed %d times", err, closed.n)
	}
	if u := set.Usage(); !strings.Contains(u, "my:X ") || !strings.Contains(u, "is hot") {
		t.Error(u)
	}
	if _, err := Builtin().Open(t.Context(), "my:x"); err == nil {
		t.Error("the kind is in another set too")
	}
}

type closing struct {
	*block.Memory
	n int
}

func (c *closing) Close() error { c.n++; return nil }

func TestDuration(t *testing.T) {
	v := Values{"a": "5ms"}
	if d, err := v.Duration("a", 0); d != 5*time.Millisecond || err != nil {
		t.Error(d, err)
	}
	if d, err := v.Duration("b", time.Second); d != time.Second || err != nil {
		t.Error(d, err)
	}
}
