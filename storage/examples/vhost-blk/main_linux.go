// Vhost-blk gives disks to virtual machines: files, memory, images, overlays, files on
// web servers, disks in buckets of S3 servers.
//
//	go run ./storage/examples/vhost-blk -socket /tmp/disk.sock -device file:disk.img,create,size=1G
//	qemu-system-x86_64 ... -m 1G -object memory-backend-memfd,id=mem,size=1G,share=on -machine memory-backend=mem \
//		-chardev socket,id=disk,path=/tmp/disk.sock,reconnect=1 -device vhost-user-blk-pci,chardev=disk
//
// A file is locked while a virtual machine uses it. So when a virtual machine migrates,
// a second vhost-blk at its destination can have the same file open.
//
// Ctrl-C lets requests that are under way come to their end, syncs the disks, and ends.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"

	"github.com/seed-012105e5/gonet/internal/program"
	"github.com/seed-012105e5/gonet/storage/block"
	"github.com/seed-012105e5/gonet/storage/block/image"
	"github.com/seed-012105e5/gonet/storage/block/s3"
	"github.com/seed-012105e5/gonet/storage/block/spec"
	"github.com/seed-012105e5/gonet/storage/examples/internal/setup"
	"github.com/seed-012105e5/gonet/storage/vhostblk"
)

const about = `Vhost-blk gives disks to virtual machines (vhost-user-blk).

Usage: vhost-blk [flags] -socket PATH -device DISK [-socket PATH -device DISK ...]

Examples:
  vhost-blk -socket /tmp/disk.sock -device file:disk.img,create,size=1G
  vhost-blk -socket /tmp/a.sock -device image:golden.qcow2,cow -socket /tmp/b.sock -device memory:64M

A virtual machine that uses the first one, whose memory must be shared:
  qemu-system-x86_64 ... -m 1G -object memory-backend-memfd,id=mem,size=1G,share=on \
    -machine memory-backend=mem -chardev socket,id=disk,path=/tmp/disk.sock,reconnect=1 \
    -device vhost-user-blk-pci,chardev=disk

With reconnect=1 the virtual machine waits while vhost-blk is away, and what was under
way is done again, once. A file is locked while a virtual machine uses it.`

func main() { program.Main(run) }

// options are the command line.
type options struct {
	sockets, disks []string
	connect        bool
	quiet, stats   bool
	config         vhostblk.Config
}

func run(ctx context.Context, args []string, out io.Writer) (err error) {
	o, err := parse(args, out)
	if err != nil {
		return err
	}
	var open []*block.Disk
	var backends []*vhostblk.Backend
	defer func() {
		for i, d := range open {
			if i < len(backends) {
				backends[i].Close()
				if o.stats {
					fmt.Fprintf(out, "%s: %+v\n", o.sockets[i], backends[i].Stats())
				}
			}
			if !d.ReadOnly() {
				err = errors.Join(err, d.Sync())
			}
			err = errors.Join(err, d.Close())
		}
	}()
	for i, disk := range o.disks {
		d, err := kinds().Open(ctx, disk)
		if err != nil {
			return fmt.Errorf("-device %s: %w", disk, err)
		}
		open = append(open, d)
		b, err := o.serve(o.sockets[i], disk, d)
		if err != nil {
			return fmt.Errorf("-socket %s: %w", o.sockets[i], err)
		}
		backends = append(backends, b)
		if !o.quiet {
			size, _ := d.Size()
			fmt.Fprintf(out, "%s: %s, %s\n", o.sockets[i], disk, spec.FormatSize(size))
		}
	}
	if !o.quiet {
		fmt.Fprintln(out, "-chardev socket,id=disk,path="+o.sockets[0]+",reconnect=1 -device vhost-user-blk-pci,chardev=disk has QEMU use it (-h tells more); Ctrl-C ends this")
	}
	<-ctx.Done()
	return nil
}

// serve serves one disk.
func (o *options) serve(socket, disk string, d *block.Disk) (*vhostblk.Backend, error) {
	c := o.config
	if !o.quiet {
		c.Report = func(ring int, err error) {
			if ring >= 0 {
				err = fmt.Errorf("ring %d: %w", ring, err)
			}
			fmt.Fprintf(os.Stderr, "%s: %v\n", socket, err)
		}
	}
	if o.connect {
		return vhostblk.Connect(socket, d, c)
	}
	return vhostblk.Listen(socket, d, c)
}

// kinds are the disks that -device can name.
func kinds() *spec.Set {
	return spec.Builtin().With(spec.FileKind(block.FileConfig{ClaimLater: true}), image.Kind(), s3.Kind(nil))
}

// parse reads the command line.
func parse(args []string, out io.Writer) (*options, error) {
	o := new(options)
	flags := flag.NewFlagSet("vhost-blk", flag.ContinueOnError)
	add := func(to *[]string) func(string) error {
		return func(s string) error { *to = append(*to, s); return nil }
	}
	flags.Func("socket", "`PATH` of the unix socket that the virtual machine connects to; with several disks, one for each", add(&o.sockets))
	flags.Func("device", "`DISK` behind the socket", add(&o.disks))
	flags.BoolVar(&o.connect, "connect", false, "connect to the virtual machine, which listens (-chardev socket,...,server=on), and again when it has gone")
	flags.BoolVar(&o.config.ReadOnly, "read-only", false, "let nobody write")
	flags.StringVar(&o.config.Serial, "serial", "", "serial number that the virtual machine sees, at most 20 characters")
	flags.IntVar(&o.config.BlockSize, "block-size", 512, "`bytes` of a logical block: 512, 1024, 2048 or 4096")
	flags.IntVar(&o.config.Queues, "queues", 16, "`number` of queues that the virtual machine may use")
	flags.IntVar(&o.config.Requests, "requests", 64, "`number` of requests of a queue that are under way at once at most")
	flags.BoolVar(&o.quiet, "quiet", false, "print errors only")
	flags.BoolVar(&o.stats, "stats", false, "print counters at the end")
	err := setup.Parse(flags, args, out, about, "\nDisks:\n"+kinds().Usage())
	switch {
	case err != nil:
		return nil, err
	case flags.NArg() > 0:
		return nil, program.Usage("unexpected argument %q", flags.Arg(0))
	case len(o.disks) == 0 || len(o.sockets) != len(o.disks):
		return nil, program.Usage("want -socket PATH -device DISK, as many of the one as of the other")
	}
	return o, nil
}
