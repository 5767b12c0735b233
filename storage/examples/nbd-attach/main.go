// Nbd-attach gives the kernel a remote disk as /dev/nbdN.
//
//	sudo modprobe nbd
//	go build ./storage/examples/nbd-attach
//	sudo ./nbd-attach nbd://192.0.2.1/m /dev/nbd0
//	sudo ./nbd-attach -tap tap0 nbd://10.0.0.1/m
//	sudo ./nbd-attach image:golden.qcow2 /dev/nbd0
//
// Then, in another terminal:
//
//	sudo mkfs.ext4 /dev/nbd0 # if it is new: all that is on it is lost
//	sudo mount /dev/nbd0 /mnt
//	sudo umount /mnt
//
// Ctrl-C waits until the disk is no longer mounted, has the kernel write back what it
// holds, and takes the device from it; a second one ends the program at once.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"strings"
	"time"

	"github.com/seed-012105e5/gonet/internal/program"
	"github.com/seed-012105e5/gonet/storage/block"
	"github.com/seed-012105e5/gonet/storage/block/image"
	"github.com/seed-012105e5/gonet/storage/block/spec"
	"github.com/seed-012105e5/gonet/storage/examples/internal/setup"
	"github.com/seed-012105e5/gonet/storage/nbd"
)

const about = `Nbd-attach gives the kernel a disk as /dev/nbdN, for file systems: the export of an NBD
server, or a disk as nbd-serve has them. Without a device it takes the first that is
free. It is for Linux, and for root; first say: modprobe nbd.

Usage: nbd-attach [flags] URI [/dev/nbdN]

Examples:
  nbd-attach nbd://192.0.2.1/m /dev/nbd0
  nbd-attach -tap tap0 nbd://10.0.0.1/m
  nbd-attach image:golden.qcow2

Ctrl-C waits until the disk is no longer mounted, and detaches it. If the program was
killed, the kernel still has the disk, and those that use it have errors after 30 s:
unmount it; then the next nbd-attach takes it away.`

func main() { program.Main(run) }

// options are the command line.
type options struct {
	where    setup.Where
	attach   nbd.AttachConfig
	away     time.Duration
	quiet    bool
	disk     string
	path     string
	existing bool // path was given
}

func run(ctx context.Context, args []string, out io.Writer) error {
	o, err := parse(args, out)
	if err != nil {
		return err
	}
	if err := o.where.Open(); err != nil {
		return err
	}
	defer o.where.Close()
	disk, err := o.open(ctx)
	if err != nil {
		return fmt.Errorf("%s: %w", o.disk, err)
	}
	err = o.serve(ctx, disk, out)
	return errors.Join(err, disk.Close())
}

// serve attaches the disk until the context ends, or somebody else detaches it.
func (o *options) serve(ctx context.Context, disk *block.Disk, out io.Writer) error {
	var dev *os.File
	if o.existing {
		var err error
		if dev, err = os.OpenFile(o.path, os.O_RDWR, 0); err != nil {
			return err
		}
	}
	o.attach.ReadOnly = o.attach.ReadOnly || disk.ReadOnly()
	// Ctrl-C is heeded below, so that it can be said what is waited for.
	a, err := nbd.Attach(context.WithoutCancel(ctx), dev, disk, o.attach)
	if err != nil {
		return err
	}
	if !o.quiet {
		o.announce(out, a, disk)
	}
	select {
	case <-a.Done():
		if !o.quiet {
			fmt.Fprintf(out, "%s was detached\n", a.Path())
		}
		return a.Wait()
	case <-ctx.Done():
	}
	for waiting := false; ; waiting = true {
		err := a.Detach()
		if !errors.Is(err, block.ErrInUse) {
			return err
		}
		if !waiting && !o.quiet {
			fmt.Fprintf(out, "%s is in use: waiting until it is unmounted (Ctrl-C ends the program at once)\n", a.Path())
		}
		select {
		case <-a.Done():
		case <-time.After(200 * time.Millisecond):
		}
	}
}

// announce says what is where.
func (o *options) announce(out io.Writer, a *nbd.Attachment, disk *block.Disk) {
	size, _ := disk.Size()
	options := ""
	if o.attach.ReadOnly {
		options = "-o ro "
	}
	fmt.Fprintf(out, "%s is %s, %s; sudo mount %s%s /mnt; Ctrl-C detaches it\n", a.Path(), o.disk, spec.FormatSize(size), options, a.Path())
}

// parse reads the command line.
func parse(args []string, out io.Writer) (*options, error) {
	o := new(options)
	flags := flag.NewFlagSet("nbd-attach", flag.ContinueOnError)
	flags.IntVar(&o.attach.Connections, "connections", 1, "`number` of connections to the server, if it allows several, and to the kernel, 1 to 16")
	flags.IntVar(&o.attach.SectorSize, "sector", 512, "`bytes` of a sector: 512, 1024, 2048 or 4096")
	flags.BoolVar(&o.attach.ReadOnly, "read-only", false, "let nobody write")
	flags.DurationVar(&o.away, "away", time.Minute, "for how long the server may be away, while all that use the disk wait")
	flags.BoolVar(&o.quiet, "quiet", false, "print errors only")
	o.where.Flags(flags)
	err := setup.Parse(flags, args, out, about, "\nDisks, in place of a URI:\n"+kinds().Usage())
	switch {
	case err != nil:
		return nil, err
	case flags.NArg() < 1 || flags.NArg() > 2:
		return nil, program.Usage("want a URI, as nbd://192.0.2.1/m, and perhaps a device, as /dev/nbd0")
	case o.attach.Connections < 1 || o.attach.Connections > 16:
		return nil, program.Usage("-connections %d: want 1 to 16", o.attach.Connections)
	}
	o.disk, o.path, o.existing = flags.Arg(0), flags.Arg(1), flags.NArg() == 2
	return o, nil
}

func kinds() *spec.Set { return spec.Builtin().With(image.Kind()) }

// open opens the disk. Of a server that comes back nothing is lost: what it had not
// made durable is sent again.
func (o *options) open(ctx context.Context) (*block.Disk, error) {
	scheme, _, ok := strings.Cut(o.disk, "://")
	if !ok || !strings.HasPrefix(scheme, "nbd") {
		return kinds().Open(ctx, o.disk)
	}
	dialer := nbd.Dialer{DialContext: o.where.DialContext, Connections: o.attach.Connections, ReconnectTimeout: o.away, Replay: nbd.ReplayUnflushed}
	c, err := dialer.Dial(ctx, o.disk)
	if err != nil {
		return nil, err
	}
	return block.NewDisk(c)
}
