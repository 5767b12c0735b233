package api

import (
	"bytes"
	"encoding/json"
	"flag"
	"os"
	"regexp"
	"strings"
	"testing"
)

var update = flag.Bool("update", false, "write openapi.json anew")

// TestOpenAPI holds the document against the file and against what the API does: every
// call of the document is there, and nothing else.
func TestOpenAPI(t *testing.T) {
	document := OpenAPI()
	if *update {
		if err := os.WriteFile("openapi.json", document, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	file, err := os.ReadFile("openapi.json")
	if err != nil || !bytes.Equal(file, document) {
		t.Errorf("openapi.json is not what the calls are (%v): go test ./storage/drive/api -run OpenAPI -update", err)
	}
	w := newWorld(t)
	if !bytes.Equal(w.get("/openapi.json"), document) {
		t.Error("the API gives another document")
	}
	var d struct {
		Paths map[string]map[string]struct {
			Parameters []struct {
				Name     string
				Required bool
			}
		}
	}
	if err := json.Unmarshal(document, &d); err != nil {
		t.Fatal(err)
	}
	n := 0
	for path, methods := range d.Paths {
		for method, c := range methods {
			n++
			if path == "/api/ws" {
				continue
			}
			status, result, name := 200, map[string]any{}, ""
			if path != "/api/metrics" && path != "/api/openapi.json" {
				status, result, name = w.ask(strings.ToUpper(method)+" "+path, nil)
			}
			missing := ""
			for _, p := range c.Parameters {
				if p.Required && missing == "" {
					missing = p.Name
				}
			}
			if missing != "" && (name != "ValidatorError" || !strings.HasPrefix(result["error_msg"].(string), missing+": ")) || name == "NotFoundError" {
				t.Errorf("%s %s without parameters: %d, %s, %v", method, path, status, name, result)
			}
		}
	}
	if n != len(calls()) {
		t.Errorf("the document has %d calls of %d", n, len(calls()))
	}
}

// TestMetrics reads the metrics: each line is in Prometheus' format, and they tell what
// has happened.
func TestMetrics(t *testing.T) {
	w := newWorld(t)
	w.must("POST /msd/write?image=a.img", strings.NewReader("abc"))
	w.refused("POST /msd/write?image=a.img", strings.NewReader("abc"), 400, "MsdImageExistsError")
	w.must("POST /msd/set_params?image=a.img", nil)
	w.must("POST /msd/set_connected?connected=1", nil)
	w.backend.at(func() { w.backend.medium.Disk.ReadAt(make([]byte, 3), 0) })
	text := string(w.get("/metrics"))
	line := regexp.MustCompile(`^(# (HELP|TYPE) gonet_drive_\w+ .+|gonet_drive_\w+(\{\w+="[^"]*"(,\w+="[^"]*")*\})? [0-9.e+]+)$`)
	for l := range strings.Lines(text) {
		if !line.MatchString(strings.TrimSuffix(l, "\n")) {
			t.Errorf("%q is no line of metrics", l)
		}
	}
	for _, want := range []string{
		"gonet_drive_images 1\n", "gonet_drive_images_bytes 3\n", `gonet_drive_connected{drive="drive"} 1`, `gonet_drive_read_bytes_total{drive="drive"} 3`,
		`gonet_drive_calls_total{call="/msd/write",method="POST",ok="true"} 1`, `gonet_drive_calls_total{call="/msd/write",method="POST",ok="false"} 1`,
	} {
		if !strings.Contains(text, want) {
			t.Errorf("%q is not in the metrics:\n%s", want, text)
		}
	}
}
