package figure

import (
	"encoding/xml"
	"errors"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/seed-012105e5/gonet/paper/internal/result"
)

// TestDraw draws from few results: there are figures for what was measured, and
// none for the rest.
func TestDraw(t *testing.T) {
	const bulk, layers = "bulk to the server, 8 streams", "layers of 1 byte over TCP, both on one CPU"
	few, many := result.IdleWork(10000), result.IdleWork(1000000)
	r := &result.Results{
		Subjects: []result.Subject{{Key: "kernel", Name: "kernel, veth"}, {Key: "gonet", Name: "GoNet & tap"}},
		Works:    []string{bulk, layers, few, many},
	}
	for _, v := range []float64{40, 44} {
		r.Add(bulk, "kernel", result.Goodput.Of(v))
		r.Add(bulk, "gonet", result.Goodput.Of(v-5))
	}
	r.Add(layers, "gonet", result.Figure{Metric: result.Running, Part: "ipv4.Rx", Value: 2})
	r.Add(layers, "gonet", result.Figure{Metric: result.Ready, Part: "ipv4.Rx", Value: 1})
	for work, times := range map[string]float64{few: 1, many: 1.1} {
		r.Add(work, "gonet", result.Memory.Of(4000*times))
		r.Add(work, "gonet", result.Establish.Of(25000/times))
		r.Add(work, "gonet", result.EstablishUser.Of(20))
		r.Add(work, "gonet", result.Closing.Of(20000*times))
	}
	dir := t.TempDir()
	if err := Draw(dir, r); err != nil {
		t.Fatal(err)
	}
	files, err := os.ReadDir(dir)
	if err != nil || len(files) != 4 {
		t.Fatalf("%v, %v", files, err)
	}
	for name, label := range map[string]string{
		"bulk-offload.svg": "to, 8", "bulk-8links.svg": "to the server", "layers-tcp.svg": "ipv4.Rx", "growth.svg": "100k",
	} {
		text, err := os.ReadFile(filepath.Join(dir, name))
		if err != nil || !strings.Contains(string(text), label) {
			t.Errorf("%s: %v; it has no %q", name, err, label)
		}
		wellFormed(t, name, string(text))
	}
}

func wellFormed(t *testing.T, name, text string) {
	t.Helper()
	for d := xml.NewDecoder(strings.NewReader(text)); ; {
		if _, err := d.Token(); errors.Is(err, io.EOF) {
			return
		} else if err != nil {
			t.Errorf("%s: %v", name, err)
			return
		}
	}
}

func TestBrief(t *testing.T) {
	for v, want := range map[float64]string{0.01: "0.01", 1: "1", 100: "100", 1e3: "1k", 1e5: "100k", 1e6: "1M", 1e7: "10M"} {
		if got := brief(v); got != want {
			t.Errorf("%v is %q, want %q", v, got, want)
		}
	}
}
