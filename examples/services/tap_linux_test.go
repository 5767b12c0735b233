package main

import (
	"io"
	"testing"

	"github.com/seed-012105e5/gonet/examples/internal/testing/exampletest"
	"github.com/seed-012105e5/gonet/internal/testing/netns"
)

func TestMain(m *testing.M) { netns.Main(m) }

// TestTap talks to the services with the kernel.
func TestTap(t *testing.T) {
	for _, args := range [][]string{{"-offload"}, {"-offload=false", "-mtu=9000", "-port=8000"}} {
		p := exampletest.Start(t, nil, run, args...)
		p.Await("http  ")
		c, err := p.NS.Dial(t.Context(), "tcp", "10.0.0.2:7")
		if err != nil {
			t.Fatal(err)
		}
		echoed := make([]byte, 5)
		c.Write([]byte("hello"))
		if _, err := io.ReadFull(c, echoed); err != nil || string(echoed) != "hello" {
			t.Errorf("echo: %q, %v", echoed, err)
		}
		web := map[string]string{"-offload": "http://10.0.0.2"}[args[0]]
		if web == "" {
			web = "http://10.0.0.2:8000"
		}
		client := p.Client()
		if _, body := exampletest.Get(t, client, web+"/bytes/5000000"); len(body) != 5_000_000 {
			t.Errorf("%d bytes", len(body))
		}
		client.CloseIdleConnections()
		c.Close()
		if err := p.Interrupt(); err != nil {
			t.Error(err)
		}
	}
}
