package compat

import (
	"bytes"
	"net"
	"testing"
	"time"

	"github.com/pion/webrtc/v4"
)

// newPeerConnection makes an end of WebRTC whose candidates are those of one socket.
func newPeerConnection(t *testing.T, socket net.PacketConn) *webrtc.PeerConnection {
	t.Helper()
	var s webrtc.SettingEngine
	s.SetICEUDPMux(webrtc.NewICEUDPMux(nil, socket))
	s.SetNetworkTypes([]webrtc.NetworkType{webrtc.NetworkTypeUDP4})
	s.SetIncludeLoopbackCandidate(false)
	p, err := webrtc.NewAPI(webrtc.WithSettingEngine(s)).NewPeerConnection(webrtc.Configuration{})
	must(t, err)
	t.Cleanup(func() { p.Close() })
	return p
}

// gathered is the description of an end with all of its candidates.
func gathered(t *testing.T, p *webrtc.PeerConnection, d webrtc.SessionDescription) webrtc.SessionDescription {
	t.Helper()
	done := webrtc.GatheringCompletePromise(p)
	must(t, p.SetLocalDescription(d))
	<-done
	return *p.LocalDescription()
}

// TestWebRTC has pion/webrtc send messages between the stack and the kernel: ICE, DTLS
// and SCTP over UDP.
func TestWebRTC(t *testing.T) {
	h := newHost(t)
	socket, err := h.ListenPacket("udp", ours+":5000")
	must(t, err)
	a, b := newPeerConnection(t, socket), newPeerConnection(t, h.packetsKernel(t, kernel+":5000"))

	b.OnDataChannel(func(c *webrtc.DataChannel) {
		c.OnMessage(func(m webrtc.DataChannelMessage) { c.Send(m.Data) })
	})
	channel, err := a.CreateDataChannel("echo", nil)
	must(t, err)
	const messages = 200
	echoed := make(chan []byte, messages)
	channel.OnOpen(func() {
		for i := range messages {
			channel.Send(bytes.Repeat([]byte{byte(i)}, 5000))
		}
	})
	channel.OnMessage(func(m webrtc.DataChannelMessage) { echoed <- m.Data })

	offer, err := a.CreateOffer(nil)
	must(t, err)
	must(t, b.SetRemoteDescription(gathered(t, a, offer)))
	answer, err := b.CreateAnswer(nil)
	must(t, err)
	must(t, a.SetRemoteDescription(gathered(t, b, answer)))
	for i := range messages {
		select {
		case got := <-echoed:
			if !bytes.Equal(got, bytes.Repeat([]byte{byte(i)}, 5000)) {
				t.Fatalf("message %d is another", i)
			}
		case <-time.After(20 * time.Second):
			t.Fatalf("%d of %d messages came back; the connection is %v", i, messages, a.ConnectionState())
		}
	}
}
