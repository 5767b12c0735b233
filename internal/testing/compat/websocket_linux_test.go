package compat

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"os"
	"testing"
	"time"

	"github.com/coder/websocket"
)

const page = `<!doctype html><title>WebSocket</title><script>
const s = new WebSocket("ws://" + location.host + "/echo");
s.binaryType = "arraybuffer";
let n = 0, wrong = 0;
s.onopen = () => { for (let i = 0; i < 50; i++) s.send(new Uint8Array(20000).fill(i)); };
s.onmessage = e => {
	const b = new Uint8Array(e.data);
	if (b.length != 20000 || b.some(v => v != n)) wrong++;
	if (++n == 50) s.close(1000, "done");
};
s.onclose = e => fetch("/result", {method: "POST", body: n + " messages, " + wrong + " wrong, code " + e.code});
</script>`

// TestWebSocket has Chromium talk with coder/websocket over the stack.
func TestWebSocket(t *testing.T) {
	h := newHost(t)
	l := h.listen(t, ours+":80")
	ended := make(chan error, 1)
	mux := http.NewServeMux()
	mux.HandleFunc("/{$}", func(w http.ResponseWriter, r *http.Request) { fmt.Fprint(w, page) })
	mux.HandleFunc("/echo", func(w http.ResponseWriter, r *http.Request) {
		c, err := websocket.Accept(w, r, nil)
		if err == nil {
			err = echo(r.Context(), c)
		}
		ended <- err
	})
	result := make(chan string, 1)
	mux.HandleFunc("POST /result", func(w http.ResponseWriter, r *http.Request) {
		text, _ := io.ReadAll(r.Body)
		result <- string(text)
	})
	go http.Serve(l, mux)
	dir := t.TempDir()
	cmd := command(t, "chromium", "--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--no-proxy-server",
		"--disable-background-networking", "--disable-component-update", "--disable-sync", "--disable-dev-shm-usage",
		"--remote-debugging-port=0", "--user-data-dir="+dir, "http://"+ours+"/")
	cmd.Env = append(os.Environ(), "HOME="+dir)
	must(t, h.ns.Start(cmd))
	select {
	case got := <-result:
		if want := "50 messages, 0 wrong, code 1000"; got != want {
			t.Errorf("the page says %q, want %q", got, want)
		}
	case <-time.After(40 * time.Second):
		t.Error("the page says nothing")
	}
	cmd.Cancel()
	cmd.Wait()
	if err := <-ended; websocket.CloseStatus(err) != websocket.StatusNormalClosure {
		t.Errorf("the connection ended with %v", err)
	}
}

func echo(ctx context.Context, c *websocket.Conn) error {
	defer c.CloseNow()
	for {
		kind, p, err := c.Read(ctx)
		if err != nil {
			return err
		}
		if err := c.Write(ctx, kind, p); err != nil {
			return err
		}
	}
}
