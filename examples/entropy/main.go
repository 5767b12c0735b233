//go:build linux

// Entropy gives virtual machines random numbers: a virtio device (VIRTIO 1.2
// section 5.4) in user space. It shows what a device of one's own needs.
//
//	go run ./examples/entropy -socket /tmp/rng.sock
//	qemu-system-x86_64 ... -object memory-backend-memfd,id=mem,size=512M,share=on -machine memory-backend=mem \
//		-chardev socket,id=rng,path=/tmp/rng.sock -device vhost-user-rng-pci,chardev=rng
package main

import (
	"crypto/rand"
	"errors"
	"flag"
	"io"
	"log"
	"os"
	"os/signal"

	"github.com/seed-012105e5/gonet/vhost"
	"github.com/seed-012105e5/gonet/vhost/virtqueue"
)

// An entropy is a device with one ring, whose chains it fills.
type entropy struct{ source io.Reader }

func (entropy) Features() uint64            { return 0 }
func (entropy) Queues() int                 { return 1 }
func (entropy) Config() []byte              { return nil }
func (entropy) SetConfig(int, []byte) error { return errors.New("there is no configuration") }

func (e entropy) Serve(q *vhost.Queue) {
	var c virtqueue.Chain
	for q.Wait() {
		for q.Next(&c) {
			n := 0
			for _, b := range c.Writable {
				k, err := io.ReadFull(e.source, b)
				if n += k; err != nil {
					break // the driver sees how much it has got
				}
			}
			q.Put(&c, n)
		}
	}
}

func main() {
	socket := flag.String("socket", "rng.sock", "the unix socket that virtual machines connect to")
	flag.Parse()
	backend, err := vhost.Listen(*socket, entropy{rand.Reader}, vhost.Config{Report: func(ring int, err error) { log.Printf("ring %d: %v", ring, err) }})
	if err != nil {
		log.Fatal(err)
	}
	defer backend.Close()
	stop := make(chan os.Signal, 1)
	signal.Notify(stop, os.Interrupt)
	<-stop
}
