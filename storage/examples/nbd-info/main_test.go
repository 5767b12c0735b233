package main

import (
	"bytes"
	"encoding/json"
	"io"
	"net"
	"strings"
	"testing"

	"github.com/seed-012105e5/gonet/storage/block"
	"github.com/seed-012105e5/gonet/storage/nbd"
)

// server exports a device of 1 MiB with some data in its middle, and one that is
// read-only.
func server(t *testing.T) string {
	t.Helper()
	m := block.NewMemory(1 << 20)
	m.WriteAt(bytes.Repeat([]byte{7}, 65536), 512<<10)
	var s nbd.Server
	for _, e := range []nbd.Export{{Name: "m", Description: "in memory", Device: m}, {Name: "r", Device: block.NewMemory(4096), ReadOnly: true}} {
		if err := s.Add(e); err != nil {
			t.Fatal(err)
		}
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	go s.Serve(l)
	t.Cleanup(func() { s.Close() })
	return "nbd://" + l.Addr().String() + "/"
}

// ask runs the program, and reads the JSON that it prints.
func askJSON(t *testing.T, args ...string) (infos []info) {
	t.Helper()
	var out bytes.Buffer
	if err := run(t.Context(), append([]string{"-json"}, args...), &out); err != nil {
		t.Fatal(err)
	}
	if err := json.Unmarshal(out.Bytes(), &infos); err != nil {
		t.Fatalf("%v in\n%s", err, &out)
	}
	return infos
}

func TestInfo(t *testing.T) {
	uri := server(t)
	infos := askJSON(t, "-map", uri+"m")
	if len(infos) != 1 {
		t.Fatalf("%+v", infos)
	}
	i := infos[0]
	if i.Size != 1<<20 || i.ReadOnly || !i.MultiConn || i.Description != "in memory" || !strings.Contains(strings.Join(i.Can, " "), "fua") {
		t.Errorf("%+v", i)
	}
	want := []extent{{0, 512 << 10, "hole,zero"}, {512 << 10, 64 << 10, "data"}, {576 << 10, 448 << 10, "hole,zero"}}
	if len(i.Map) != 3 || i.Map[0] != want[0] || i.Map[1] != want[1] || i.Map[2] != want[2] {
		t.Errorf("%+v, want %+v", i.Map, want)
	}
	all := askJSON(t, "-list", uri)
	if len(all) != 2 || all[0].Name == all[1].Name {
		t.Errorf("%+v", all)
	}
	var out bytes.Buffer
	if err := run(t.Context(), []string{uri + "r"}, &out); err != nil || !strings.Contains(out.String(), "size          4096 (4K)") || !strings.Contains(out.String(), "read-only     true") {
		t.Errorf("%v, printed %s", err, &out)
	}
}

func TestRefuses(t *testing.T) {
	for args, want := range map[string]string{
		"": "one URI", "a b": "one URI", "-list -map x": "-map", "-nothing x": "-nothing", "http://x/": "http", "nbd://127.0.0.1:1/": "refused",
	} {
		if err := run(t.Context(), strings.Fields(args), io.Discard); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%q: %v, want %q", args, err, want)
		}
	}
}
