package api

import (
	"bytes"
	"encoding/json"
	"flag"
	"os"
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
