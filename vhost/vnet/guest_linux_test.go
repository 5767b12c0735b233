package vnet

import (
	"bytes"
	"crypto/sha256"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/netip"
	"os"
	"testing"
	"time"

	gonet "github.com/seed-012105e5/gonet"
	"github.com/seed-012105e5/gonet/internal/netlink"
	"github.com/seed-012105e5/gonet/internal/testing/guest"
)

func TestMain(m *testing.M) {
	guest.Main(m, map[string]guest.Job{"http": speakHTTP})
}

// speakHTTP has the guest send a text to the stack by HTTP, and serve the same.
func speakHTTP(in *guest.Inside) error {
	c, err := netlink.Dial()
	if err != nil {
		return err
	}
	defer c.Close()
	card, err := net.InterfaceByName("eth0")
	if err != nil {
		return err
	}
	if err := c.SetUp(card.Index); err != nil {
		return err
	}
	if err := c.AddAddr(card.Index, netip.MustParsePrefix("10.0.0.2/24")); err != nil {
		return err
	}
	server := http.Server{Addr: "10.0.0.2:80", Handler: http.HandlerFunc(digest)}
	go server.ListenAndServe()
	sum, err := post(http.DefaultClient, "http://10.0.0.1/")
	if err != nil {
		return err
	}
	in.Tell("%s", sum)
	_, err = in.Hear() // the host has done the same
	return err
}

// bigText is what goes there and back.
func bigText() []byte {
	text := make([]byte, 4<<20)
	for i := range text {
		text[i] = byte(i>>12) ^ byte(i)
	}
	return text
}

// digest answers with the hash of what was sent, and what was sent.
func digest(w http.ResponseWriter, r *http.Request) {
	text, err := io.ReadAll(r.Body)
	if err != nil {
		http.Error(w, err.Error(), http.StatusBadRequest)
		return
	}
	fmt.Fprintf(w, "%x", sha256.Sum256(text))
	w.Write(text)
}

// post sends the text, and checks what comes back.
func post(c *http.Client, url string) (sum string, err error) {
	text := bigText()
	r, err := c.Post(url, "application/octet-stream", bytes.NewReader(text))
	if err != nil {
		return "", err
	}
	defer r.Body.Close()
	got, err := io.ReadAll(r.Body)
	if err != nil {
		return "", err
	}
	sum = fmt.Sprintf("%x", sha256.Sum256(text))
	if !bytes.Equal(got, append([]byte(sum), text...)) {
		return "", fmt.Errorf("%d bytes came back, and are others", len(got))
	}
	return sum, nil
}

// TestGuest has a virtual machine and the stack speak HTTP, each as client and as
// server, over split rings, and with GONET_LONG=1 over packed ones.
func TestGuest(t *testing.T) {
	guest.Need(t)
	rings := []string{"off"}
	if os.Getenv("GONET_LONG") != "" {
		rings = append(rings, "on")
	}
	for _, packed := range rings {
		t.Run("packed="+packed, func(t *testing.T) {
			path := t.TempDir() + "/net.sock"
			card, err := Listen(path, Config{Report: func(ring int, err error) { t.Logf("ring %d: %v", ring, err) }})
			if err != nil {
				t.Fatal(err)
			}
			stack, err := gonet.New(gonet.Config{Link: card, Addr: netip.MustParsePrefix("10.0.0.1/24")})
			if err != nil {
				t.Fatal(err)
			}
			defer stack.Close()
			l, err := stack.Listen("tcp", ":80")
			if err != nil {
				t.Fatal(err)
			}
			server := http.Server{Handler: http.HandlerFunc(digest)}
			go server.Serve(l)
			defer server.Close()
			g := guest.Start(t, guest.Config{Job: "http", Modules: []string{"virtio_net"}, QEMU: []string{
				"-object", "memory-backend-memfd,id=mem,size=384M,share=on", "-machine", "memory-backend=mem",
				"-chardev", "socket,id=net,path=" + path, "-netdev", "vhost-user,id=net,chardev=net",
				// With vectors QEMU 7.2 without KVM crashes as soon as the driver starts.
				"-device", "virtio-net-pci,netdev=net,vectors=0,packed=" + packed,
			}})
			text, ok := <-g.Lines
			if !ok {
				t.Fatal(g.Wait())
			}
			client := &http.Client{Transport: &http.Transport{DialContext: stack.DialContext}, Timeout: 2 * time.Minute}
			defer client.CloseIdleConnections()
			sum, err := post(client, "http://10.0.0.2/")
			if err != nil || sum != text {
				t.Errorf("%v, %q, the guest had %q", err, sum, text)
			}
			if err := g.Say("done"); err != nil {
				t.Error(err)
			}
			if err := g.Wait(); err != nil {
				t.Error(err)
			}
			s := card.Stats
			t.Logf("to the guest %d frames, %d bytes; from it %d, %d; dropped: %d full, %d malformed", s.TxFrames.Load(), s.TxBytes.Load(),
				s.RxFrames.Load(), s.RxBytes.Load(), s.DropTxFull.Load(), s.DropMalformed.Load())
			if n := s.TxBytes.Load() / max(s.TxFrames.Load(), 1); n < 2000 {
				t.Errorf("%d bytes a frame to the guest: no trains cross", n)
			}
		})
	}
}
