// Usbip serves disks and CD-ROMs as USB mass-storage devices: by USB/IP to Linux
// machines, by usbredir to virtual machines of QEMU, whose firmware boots from them.
//
//	go run ./storage/examples/usbip -device memory:64M -device file:disk.img -cdrom file:debian.iso,ro
//	go run ./storage/examples/usbip -redir 127.0.0.1:4000 -cdrom file:debian.iso,ro
//	go run ./storage/examples/usbip -rootless -device memory:64M
//
//	sudo modprobe vhci-hcd && sudo usbip attach -r 127.0.0.1 -b 1-1
//
// Ctrl-C unplugs the devices, syncs the disks, and ends.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"net"
	"os"

	"github.com/seed-012105e5/gonet/internal/program"
	"github.com/seed-012105e5/gonet/storage/block"
	"github.com/seed-012105e5/gonet/storage/block/image"
	"github.com/seed-012105e5/gonet/storage/block/s3"
	"github.com/seed-012105e5/gonet/storage/block/spec"
	"github.com/seed-012105e5/gonet/storage/examples/internal/setup"
	"github.com/seed-012105e5/gonet/storage/scsi"
	"github.com/seed-012105e5/gonet/storage/usb"
	"github.com/seed-012105e5/gonet/storage/usb/usbip"
	"github.com/seed-012105e5/gonet/storage/usb/usbredir"
)

const about = `Usbip serves disks and CD-ROMs as USB mass-storage devices, by USB/IP to Linux machines, and
one of them by usbredir to a virtual machine of QEMU.

Usage: usbip [flags] -device DISK [-device DISK ...] [-cdrom DISK ...]

Examples:
  usbip -device memory:64M -device file:disk.img -cdrom file:debian.iso,ro
  usbip -redir 127.0.0.1:4000 -cdrom file:debian.iso,ro
  sudo usbip -tap tap0 -listen :3240 -device memory:1G
  usbip -rootless -device memory:64M

A Linux machine attaches a device, which is then a disk of its own, and detaches it, by
  sudo modprobe vhci-hcd
  sudo usbip list -r 127.0.0.1
  sudo usbip attach -r 127.0.0.1 -b 1-1
  sudo usbip detach -p 0
QEMU has what -redir names, as a device that its firmware boots from, by
  -device usb-ehci,id=usb -chardev socket,id=drive,host=127.0.0.1,port=4000,reconnect=1
  -device usb-redir,chardev=drive,bus=usb.0,bootindex=0`

func main() { program.Main(run) }

// options are the command line.
type options struct {
	where         setup.Where
	listen, redir string
	devices       []device
	speed         usb.Speed
	quiet, stats  bool
}

// A device is a disk, and whether it is to be a CD-ROM.
type device struct {
	disk  string
	cdrom bool
}

func run(ctx context.Context, args []string, out io.Writer) (err error) {
	o, err := parse(args, out)
	if err != nil {
		return err
	}
	if goOn, err := o.where.Enter(ctx, o.listen); err != nil || !goOn {
		return err
	}
	if err := o.where.Open(); err != nil {
		return err
	}
	defer o.where.Close()
	var disks []*block.Disk
	defer func() {
		for i, d := range disks {
			if !d.ReadOnly() {
				err = errors.Join(err, d.Sync())
			}
			if closeErr := d.Close(); closeErr != nil {
				err = errors.Join(err, fmt.Errorf("%s: %w", o.devices[i].disk, closeErr))
			}
		}
	}()
	devices := make([]*usb.Device, len(o.devices))
	for i, d := range o.devices {
		disk, err := o.kinds().Open(ctx, d.disk)
		if err != nil {
			return fmt.Errorf("%s: %w", d.disk, err)
		}
		disks = append(disks, disk)
		if devices[i], err = o.device(i, disk); err != nil {
			return err
		}
	}
	return o.serve(ctx, devices, disks, out)
}

// device makes the device of number i of a disk.
func (o *options) device(i int, disk *block.Disk) (*usb.Device, error) {
	c := scsi.UnitConfig{Disk: disk, Serial: fmt.Sprintf("%012X", i+1)}
	if o.devices[i].cdrom {
		c.Type = scsi.CDROM
	}
	unit, err := scsi.NewUnit(c)
	if err != nil {
		return nil, err
	}
	units := scsi.NewTarget()
	if err := units.Add(0, unit); err != nil {
		return nil, err
	}
	return usb.NewDevice(usb.Config{Units: units, Speed: o.speed, Serial: c.Serial})
}

// serve serves until ctx is done, or nobody can be served.
func (o *options) serve(ctx context.Context, devices []*usb.Device, disks []*block.Disk, out io.Writer) error {
	log := func(remote net.Addr, err error) { fmt.Fprintf(os.Stderr, "%v: %v\n", remote, err) }
	if o.quiet {
		log = nil
	}
	server := &usbip.Server{ErrorLog: log}
	l, err := o.where.Listen(ctx, o.listen)
	if err != nil {
		return err
	}
	redirected := &usbredir.Server{Device: devices[0], ErrorLog: log}
	ended := make(chan error, 2)
	running := 1
	for i, d := range devices {
		if i == 0 && o.redir != "" {
			continue // it is not both ways at the same time
		}
		if err := server.Add(busID(i), d); err != nil {
			l.Close()
			return err
		}
	}
	if o.redir != "" {
		r, err := o.where.Listen(ctx, o.redir)
		if err != nil {
			l.Close()
			return err
		}
		running++
		go func() { ended <- redirected.Serve(r) }()
	}
	go func() { ended <- server.Serve(l) }()
	o.announce(out, l.Addr(), disks)
	select {
	case <-ctx.Done():
	case err = <-ended:
		running--
	}
	server.Close()
	redirected.Close()
	for range running {
		<-ended
	}
	if o.stats {
		fmt.Fprint(out, server.Stats())
	}
	return err
}

func busID(i int) string { return fmt.Sprintf("1-%d", i+1) }

// announce says what is served where.
func (o *options) announce(out io.Writer, at net.Addr, disks []*block.Disk) {
	if o.quiet {
		return
	}
	host, port, err := net.SplitHostPort(o.where.Host(at))
	for i, d := range disks {
		size, _ := d.Size()
		kind := "disk"
		if o.devices[i].cdrom {
			kind = "CD-ROM"
		}
		how := "usbip attach -r " + host + " -b " + busID(i)
		switch {
		case i == 0 && o.redir != "":
			how = "usbredir at " + o.redir
		case err != nil: // a socket of the file system
			how = busID(i) + " at " + at.String()
		case port != usbip.Port:
			how = "usbip --tcp-port " + port + how[len("usbip"):]
		}
		fmt.Fprintf(out, "%-6s %8s  %-44s  %s\n", kind, spec.FormatSize(size), how, o.devices[i].disk)
	}
}

// kinds are the disks that can be named.
func (o *options) kinds() *spec.Set {
	return spec.Builtin().With(image.Kind(), s3.Kind(o.where.DialContext))
}

// parse reads the command line.
func parse(args []string, out io.Writer) (*options, error) {
	o := new(options)
	flags := flag.NewFlagSet("usbip", flag.ContinueOnError)
	flags.StringVar(&o.listen, "listen", "127.0.0.1:"+usbip.Port, "`address` to listen at for USB/IP: host:port, or unix:PATH")
	flags.StringVar(&o.redir, "redir", "", "serve the first device by usbredir, at this `address`, in place of USB/IP")
	add := func(cdrom bool) func(string) error {
		return func(disk string) error {
			o.devices = append(o.devices, device{disk, cdrom})
			return nil
		}
	}
	flags.Func("device", "`DISK` to be a USB disk, any number of times; they are 1-1, 1-2 and so on", add(false))
	flags.Func("cdrom", "`DISK` to be a USB CD-ROM, likewise", add(true))
	speeds := map[string]usb.Speed{"full": usb.FullSpeed, "high": usb.HighSpeed, "super": usb.SuperSpeed}
	flags.Func("speed", "`speed` of the bus: full, high or super; high if it is not given, at which Linux uses UAS", func(text string) (err error) {
		s, ok := speeds[text]
		if !ok {
			return errors.New("want full, high or super")
		}
		o.speed = s
		return nil
	})
	flags.BoolVar(&o.quiet, "quiet", false, "print errors only")
	flags.BoolVar(&o.stats, "stats", false, "print the counters of the server at the end")
	o.where.ServerFlags(flags)
	err := setup.Parse(flags, args, out, about, "\nDisks:\n"+o.kinds().Usage())
	switch {
	case err != nil:
		return nil, err
	case flags.NArg() > 0:
		return nil, program.Usage("unexpected argument %q", flags.Arg(0))
	case len(o.devices) == 0:
		return nil, program.Usage("nothing to serve: want -device DISK or -cdrom DISK")
	}
	return o, nil
}
