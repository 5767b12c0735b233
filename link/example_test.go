package link_test

import (
	"fmt"
	"os"

	"github.com/seed-012105e5/gonet/link"
	"github.com/seed-012105e5/gonet/packet"
)

// A cable on which every frame is lost from one end, and none from the other one.
func ExampleImpair() {
	a, b := link.Pipe(link.PipeConfig{})
	a = link.Impair(a, link.Impairment{Loss: 1, Seed: 1}) // what leaves a, and what arrives there

	b.Tx <- packet.From(make([]byte, 60))
	close(a.Tx) // the owner of a link closes it
	close(b.Tx)
	n := 0
	for frame := range a.Rx {
		frame.Release()
		n++
	}
	fmt.Println(n, "frames arrived")
	// Output: 0 frames arrived
}

// Tee records what passes a card.
func ExampleTee() {
	a, b := link.Pipe(link.PipeConfig{})
	file, err := os.CreateTemp("", "*.pcap")
	if err != nil {
		fmt.Println(err)
		return
	}
	defer os.Remove(file.Name())
	a = link.Tee(a, nil, link.Pcap(file)) // Wireshark reads it

	a.Tx <- packet.From(make([]byte, 60))
	(<-b.Rx).Release()
	close(a.Tx)
	close(b.Tx)
	for range a.Rx {
	}
	info, err := file.Stat()
	fmt.Println(info.Size(), err) // 24 bytes of header, 16 of a record's, and the frame
	// Output: 100 <nil>
}
