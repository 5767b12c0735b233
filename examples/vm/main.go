//go:build linux

// Vm boots a virtual machine whose network is GoNet's stack in this process: no tap, no
// bridge and no root. A page crosses it both ways, the guest's browser being this program
// too, which is the guest's first process.
//
//	go run ./examples/vm                 its card by vhost-user: shared memory and rings
//	go run ./examples/vm -net stream     by a socket that carries frames
//	go run ./examples/vm -net dgram -stay
//
// With a disk besides, which another program serves by vhost-user, such as that of the
// storage module:
//
//	truncate -s 64M disk.img && /sbin/mkfs.ext4 -q disk.img
//	go run ./storage/examples/vhost-blk -socket /tmp/disk.sock -device file:disk.img &
//	go run ./examples/vm -disk-socket /tmp/disk.sock
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"net/http"
	"net/netip"
	"os"
	"path/filepath"
	"time"

	gonet "github.com/seed-012105e5/gonet"
	"github.com/seed-012105e5/gonet/internal/guest"
	"github.com/seed-012105e5/gonet/internal/program"
	"github.com/seed-012105e5/gonet/link"
	"github.com/seed-012105e5/gonet/netdev"
	"github.com/seed-012105e5/gonet/vhost/vnet"
)

const about = `Usage: vm [flags]

Vm boots a virtual machine with QEMU (Debian's qemu-system-x86; KVM is not needed), whose
network is GoNet's stack in this process, 10.0.0.1. The guest, 10.0.0.2, fetches a page
from it, and it fetches one from the guest. Without -kernel the guest is a kernel of
Debian's, which scripts/guest-kernel downloads the first time (70 MB), and this program.
It mounts the disk of -disk-socket, which has to have ext4 on it, adds a line to its file
boots, and serves what is there as http://10.0.0.2/disk/.

Flags:
`

const examples = `
Examples:
  go run ./examples/vm
  go run ./examples/vm -net stream -stay
  go run ./storage/examples/vhost-blk -socket /tmp/disk.sock -device file:disk.img &
  go run ./examples/vm -disk-socket /tmp/disk.sock
  go run ./examples/vm -kernel vmlinuz -initrd initrd.img -append 'console=ttyS0'
`

var (
	here  = netip.MustParsePrefix("10.0.0.1/24")
	there = netip.MustParsePrefix("10.0.0.2/24")
)

func main() {
	guest.Enter(map[string]guest.Job{"browse": browse})
	program.Main(run)
}

type options struct {
	net, disk, kernel, initrd, append string
	stay                              bool
}

func parse(args []string, out io.Writer) (o options, err error) {
	f := flag.NewFlagSet("vm", flag.ContinueOnError)
	f.SetOutput(out)
	f.Usage = func() { fmt.Fprint(out, about); f.PrintDefaults(); fmt.Fprint(out, examples) }
	f.StringVar(&o.net, "net", "vhost-user", "how the card is joined: vhost-user, stream or dgram")
	f.StringVar(&o.disk, "disk-socket", "", "`PATH` of a socket that serves a disk by vhost-user-blk, for the guest")
	f.StringVar(&o.kernel, "kernel", "", "boot this kernel, which has to give its card the address 10.0.0.2/24, and to serve HTTP")
	f.StringVar(&o.initrd, "initrd", "", "the first file system of that kernel")
	f.StringVar(&o.append, "append", "console=ttyS0", "the command line of that kernel")
	f.BoolVar(&o.stay, "stay", false, "go on until Ctrl-C when the pages have crossed")
	if err := f.Parse(args); err != nil {
		if errors.Is(err, flag.ErrHelp) {
			return o, err
		}
		return o, program.Usage("%v", err)
	}
	switch {
	case f.NArg() > 0:
		return o, program.Usage("%q is no flag", f.Arg(0))
	case cards[o.net] == nil:
		return o, program.Usage("-net %s: choose vhost-user, stream or dgram", o.net)
	case (o.kernel == "") != (o.initrd == ""):
		return o, program.Usage("-kernel and -initrd belong together")
	}
	return o, nil
}

// cards are ways to join a card of QEMU's: a link over a socket in dir, and the
// arguments for QEMU.
var cards = map[string]func(dir string, report func(error)) (link.Link, []string, error){
	"vhost-user": func(dir string, report func(error)) (link.Link, []string, error) {
		l, err := vnet.Listen(dir+"/net.sock", vnet.Config{Report: func(_ int, err error) { report(err) }})
		return l, []string{
			"-chardev", "socket,id=net,path=" + dir + "/net.sock", "-netdev", "vhost-user,id=net,chardev=net",
			"-device", "virtio-net-pci,netdev=net,vectors=0", // with vectors QEMU 7.2 crashes without KVM
		}, err
	},
	"stream": func(dir string, report func(error)) (link.Link, []string, error) {
		l, err := netdev.Listen(dir+"/net.sock", netdev.Config{Report: report})
		return l, []string{"-netdev", "stream,id=net,server=off,addr.type=unix,addr.path=" + dir + "/net.sock", "-device", "virtio-net-pci,netdev=net"}, err
	},
	"dgram": func(dir string, report func(error)) (link.Link, []string, error) {
		l, err := netdev.OpenDatagram(dir+"/net.sock", dir+"/guest.sock", netdev.Config{Report: report})
		return l, []string{
			"-netdev", "dgram,id=net,local.type=unix,local.path=" + dir + "/guest.sock,remote.type=unix,remote.path=" + dir + "/net.sock",
			"-device", "virtio-net-pci,netdev=net",
		}, err
	},
}

const memory = 384 // of the guest, in MB

// arguments are those for QEMU besides the card's: memory that back ends of vhost-user
// share, and the disk.
func (o *options) arguments() ([]string, error) {
	args := []string{"-object", fmt.Sprintf("memory-backend-memfd,id=mem,size=%dM,share=on", memory), "-machine", "memory-backend=mem"}
	if o.disk == "" {
		return args, nil
	}
	if _, err := os.Stat(o.disk); err != nil {
		return nil, fmt.Errorf("-disk-socket: nobody serves a disk there: %w", err)
	}
	return append(args, "-chardev", "socket,id=disk,path="+o.disk+",reconnect=1", "-device", "vhost-user-blk-pci,chardev=disk"), nil
}

func run(ctx context.Context, args []string, out io.Writer) (err error) {
	o, err := parse(args, out)
	if err != nil {
		return err
	}
	arguments, err := o.arguments()
	if err != nil {
		return err
	}
	out = &log{w: out}
	dir, err := os.MkdirTemp("", "gonet-vm")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	card, qemu, err := cards[o.net](dir, func(err error) { fmt.Fprintln(out, "card:", err) })
	if err != nil {
		return err
	}
	stack, err := gonet.New(gonet.Config{Link: card, Addr: here})
	if err != nil {
		return err
	}
	defer stack.Close()
	l, err := stack.Listen("tcp", ":80")
	if err != nil {
		return err
	}
	fetched := make(chan struct{}, 1)
	server := http.Server{Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		fmt.Fprintf(w, "a page of GoNet's for %s", r.RemoteAddr)
		select {
		case fetched <- struct{}{}:
		default:
		}
	})}
	go server.Serve(l)
	defer server.Close()
	fmt.Fprintf(out, "http://%v/ is served by GoNet, behind %s\n", here.Addr(), filepath.Join(dir, "net.sock"))

	vm, err := o.boot(dir, append(arguments, qemu...), out)
	if err != nil {
		return err
	}
	defer func() {
		vm.kill()
		fmt.Fprintln(out, "the guest and its socket are gone")
	}()
	select {
	case <-fetched:
		fmt.Fprintln(out, "the guest has fetched a page")
	case <-vm.ended:
		return errors.New("the guest ended before it had fetched a page")
	case <-ctx.Done():
		return ctx.Err()
	}
	pages := []string{"/"}
	if o.disk != "" && o.kernel == "" {
		pages = append(pages, "/disk/boots")
	}
	for _, page := range pages {
		if err := fetch(ctx, stack, page, out); err != nil {
			return err
		}
	}
	s := card.Counters()
	fmt.Fprintf(out, "to the guest went %d frames, from it came %d\n", s.TxFrames.Load(), s.RxFrames.Load())
	if !o.stay {
		return nil
	}
	fmt.Fprintln(out, "Ctrl-C ends it")
	select {
	case <-ctx.Done():
	case <-vm.ended:
	}
	return nil
}

// fetch fetches a page from the guest, and prints it.
func fetch(ctx context.Context, stack *gonet.Stack, path string, out io.Writer) error {
	url := "http://" + there.Addr().String() + path
	transport := &http.Transport{DialContext: stack.DialContext}
	defer transport.CloseIdleConnections()
	request, err := http.NewRequestWithContext(ctx, "GET", url, nil)
	if err != nil {
		return err
	}
	r, err := (&http.Client{Transport: transport, Timeout: time.Minute}).Do(request)
	if err != nil {
		return err
	}
	defer r.Body.Close()
	page, err := io.ReadAll(io.LimitReader(r.Body, 1<<20))
	if err == nil {
		fmt.Fprintf(out, "%s is %q\n", url, page)
	}
	return err
}
