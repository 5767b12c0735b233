package httpdisk_test

import (
	"bytes"
	"math/rand/v2"
	"net/http"
	"net/netip"
	"testing"
	"testing/synctest"
	"time"

	"github.com/seed-012105e5/gonet"
	"github.com/seed-012105e5/gonet/link"
	"github.com/seed-012105e5/gonet/storage/block/httpdisk"
)

// TestOverStack reads a disk over two stacks and a link that loses packets, in
// virtual time.
func TestOverStack(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		lossy := link.Impairment{Delay: 5 * time.Millisecond, Loss: 0.01, Seed: 1}
		la, lb := link.Cable(link.PipeConfig{}, lossy, lossy)
		host := func(l link.Link, addr string) *gonet.Stack {
			s, err := gonet.New(gonet.Config{Link: l, Addr: netip.MustParsePrefix(addr)})
			if err != nil {
				t.Fatal(err)
			}
			return s
		}
		a, b := host(la, "10.0.0.1/24"), host(lb, "10.0.0.2/24")
		defer a.Close()
		defer b.Close()

		content := make([]byte, 3<<20+5)
		r := rand.New(rand.NewPCG(2, 2))
		for i := range content {
			content[i] = byte(r.Uint32())
		}
		l, err := b.Listen("tcp", ":80")
		if err != nil {
			t.Fatal(err)
		}
		server := &http.Server{Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			w.Header().Set("ETag", `"1"`)
			http.ServeContent(w, r, "disk", time.Time{}, bytes.NewReader(content))
		})}
		go server.Serve(l)
		defer time.Sleep(time.Minute) // package http lingers on what it closes
		defer server.Close()

		transport := &http.Transport{DialContext: a.DialContext, MaxIdleConnsPerHost: 8}
		defer transport.CloseIdleConnections()
		d, err := httpdisk.Open(t.Context(), "http://10.0.0.2/disk", httpdisk.Config{Client: &http.Client{Transport: transport}})
		if err != nil {
			t.Fatal(err)
		}
		defer d.Close()
		got := make([]byte, len(content))
		if _, err := d.ReadAt(got, 0); err != nil || !bytes.Equal(got, content) {
			t.Errorf("what was read over the stack is not what is served (%v)", err)
		}
		if s := d.Stats(); s.Bytes != int64(len(content)) {
			t.Errorf("%+v, of %d bytes", s, len(content))
		}
	})
}
