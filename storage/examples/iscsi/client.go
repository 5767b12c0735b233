package main

import (
	"context"
	"encoding/binary"
	"errors"
	"flag"
	"fmt"
	"io"
	"slices"
	"strconv"
	"strings"

	"github.com/seed-012105e5/gonet/internal/program"
	"github.com/seed-012105e5/gonet/storage/block"
	"github.com/seed-012105e5/gonet/storage/block/spec"
	"github.com/seed-012105e5/gonet/storage/examples/internal/diskcopy"
	"github.com/seed-012105e5/gonet/storage/examples/internal/setup"
	"github.com/seed-012105e5/gonet/storage/iscsi"
	"github.com/seed-012105e5/gonet/storage/scsi"
)

// clientOptions are the command line of an initiator.
type clientOptions struct {
	where     setup.Where
	initiator string
	args      []string
}

// parseClient reads the command line of a command with n arguments.
func parseClient(name, usage, text string, n int, args []string, out io.Writer, more func(*flag.FlagSet)) (*clientOptions, error) {
	o := new(clientOptions)
	flags := flag.NewFlagSet("iscsi "+name, flag.ContinueOnError)
	flags.StringVar(&o.initiator, "initiator", "", "`name` of this initiator")
	if more != nil {
		more(flags)
	}
	o.where.Flags(flags)
	err := setup.Parse(flags, args, out, text+"\n\nUsage: iscsi "+name+" [flags] "+usage, "")
	switch {
	case err != nil:
		return nil, err
	case flags.NArg() != n:
		return nil, program.Usage("want iscsi %s %s", name, usage)
	}
	o.args = flags.Args()
	return o, nil
}

func (o *clientOptions) dialer() iscsi.Dialer {
	return iscsi.Dialer{Initiator: o.initiator, Dial: o.where.DialContext}
}

// portal is the portal that the first argument names, and a dialer for it.
func (o *clientOptions) portal() (*iscsi.Dialer, string, error) {
	d := o.dialer()
	if !strings.Contains(o.args[0], "://") {
		return &d, o.args[0], nil
	}
	u, err := iscsi.ParseURL(o.args[0])
	if err != nil {
		return nil, "", program.Usage("%w", err)
	}
	return u.Dialer(d), u.Address, nil
}

// targets opens the way to the portal that the first argument names, which the caller
// closes in any case, and asks for its targets.
func (o *clientOptions) targets(ctx context.Context) (d *iscsi.Dialer, address string, found []iscsi.Found, err error) {
	if d, address, err = o.portal(); err != nil {
		return nil, "", nil, err
	}
	if err := o.where.Open(); err != nil {
		return nil, "", nil, err
	}
	found, err = d.Discover(ctx, address)
	return d, address, found, err
}

// unitURL is the unit that the first argument names.
func (o *clientOptions) unitURL() (iscsi.URL, error) {
	u, err := iscsi.ParseURL(o.args[0])
	switch {
	case err != nil:
		return u, program.Usage("%w", err)
	case u.Target == "" || u.LUN < 0:
		return u, program.Usage("%s: want iscsi://HOST[:PORT]/TARGET/LUN", o.args[0])
	}
	return u, nil
}

func discover(ctx context.Context, args []string, out io.Writer) error {
	o, err := parseClient("discover", "PORTAL", "Discover asks a portal, HOST[:PORT] or iscsi://[USER%SECRET@]HOST[:PORT], for its targets.", 1, args, out, nil)
	if err != nil {
		return err
	}
	_, _, found, err := o.targets(ctx)
	defer o.where.Close()
	if err != nil {
		return err
	}
	for _, f := range found {
		for _, a := range f.Addresses {
			fmt.Fprintf(out, "%s %s\n", a, f.Name)
		}
	}
	return nil
}

// ls shows the units of all targets. Those that cannot be reached are told of, and are
// an error at the end.
func ls(ctx context.Context, args []string, out io.Writer) error {
	o, err := parseClient("ls", "PORTAL", "Ls shows the units of all targets of a portal, HOST[:PORT] or iscsi://[USER%SECRET@]HOST[:PORT].", 1, args, out, nil)
	if err != nil {
		return err
	}
	d, address, found, err := o.targets(ctx)
	defer o.where.Close()
	if err != nil {
		return err
	}
	w := table(out, "target", "unit", "type", "size", "product")
	defer w.Flush()
	var errs []error
	for _, f := range found {
		if err := lsTarget(ctx, d, address, f.Name, w); err != nil {
			errs = append(errs, fmt.Errorf("%s: %w", f.Name, err))
		}
	}
	return errors.Join(errs...)
}

func lsTarget(ctx context.Context, d *iscsi.Dialer, address, target string, out io.Writer) error {
	c, err := d.Session(ctx, address, target)
	if err != nil {
		return err
	}
	defer c.Close()
	luns, err := c.LUNs(ctx)
	if err != nil {
		return err
	}
	slices.Sort(luns)
	for _, n := range luns {
		i, err := inquire(ctx, c, n)
		if err != nil {
			return err
		}
		fmt.Fprintf(out, "%s\t%d\t%s\t%s\t%s %s\n", target, n, i.kind(), i.capacity(), i.vendor, i.product)
	}
	return nil
}

func inq(ctx context.Context, args []string, out io.Writer) error {
	o, err := parseClient("inq", "iscsi://HOST[:PORT]/TARGET/LUN", "Inq shows what a unit says of itself.", 1, args, out, nil)
	if err != nil {
		return err
	}
	u, err := o.unitURL()
	if err != nil {
		return err
	}
	if err := o.where.Open(); err != nil {
		return err
	}
	defer o.where.Close()
	c, err := u.Dialer(o.dialer()).Session(ctx, u.Address, u.Target)
	if err != nil {
		return err
	}
	defer c.Close()
	i, err := inquire(ctx, c, u.LUN)
	if err != nil {
		return err
	}
	fmt.Fprintf(out, "type      %s\nvendor    %s\nproduct   %s\nrevision  %s\nserial    %s\nsize      %s\n",
		i.kind(), i.vendor, i.product, i.revision, i.serial, i.capacity())
	if i.opened == nil {
		fmt.Fprintf(out, "block     %d\nread-only %t\n", i.block, i.readOnly)
	}
	return nil
}

// An inquiry is what a unit says of itself.
type inquiry struct {
	device                            byte // peripheral device type
	vendor, product, revision, serial string

	opened   error // why there is nothing of what follows
	size     int64
	block    int
	readOnly bool
}

func (i *inquiry) kind() string {
	switch scsi.Type(i.device) {
	case scsi.Disk:
		return "disk"
	case scsi.CDROM:
		return "cdrom"
	}
	return "type " + strconv.Itoa(int(i.device))
}

func (i *inquiry) capacity() string {
	if i.opened != nil {
		return "(" + i.opened.Error() + ")"
	}
	return spec.FormatSize(i.size)
}

// inquire asks a unit by INQUIRY (SPC-4 6.6), and for its capacity.
func inquire(ctx context.Context, c *iscsi.Client, lun int) (*inquiry, error) {
	standard, err := vital(ctx, c, lun, 0, false)
	if err != nil {
		return nil, err
	}
	if len(standard) < 36 {
		return nil, fmt.Errorf("unit %d: %d bytes of INQUIRY data, want 36", lun, len(standard))
	}
	if standard[0]>>5 != 0 { // the peripheral qualifier
		return nil, fmt.Errorf("there is no unit %d", lun)
	}
	text := func(p []byte) string { return strings.TrimSpace(strings.TrimRight(string(p), "\x00")) }
	i := &inquiry{device: standard[0] & 0x1f, vendor: text(standard[8:16]), product: text(standard[16:32]), revision: text(standard[32:36])}
	if page, err := vital(ctx, c, lun, 0x80, true); err == nil && len(page) > 4 { // which is optional
		n := min(int(binary.BigEndian.Uint16(page[2:])), len(page)-4)
		i.serial = text(page[4 : 4+n])
	}
	d, err := c.Open(ctx, lun)
	if i.opened = err; err != nil {
		return i, nil
	}
	i.size, i.opened = d.Size()
	i.block, i.readOnly = int(d.BlockSizes().Minimum), d.ReadOnly()
	return i, nil
}

// vital does INQUIRY: the standard data, or a page of vital product data.
func vital(ctx context.Context, c *iscsi.Client, lun int, page byte, evpd bool) ([]byte, error) {
	const length = 252
	cdb := []byte{0x12, 0, page, 0, length, 0}
	if evpd {
		cdb[1] = 1
	}
	in := make([]byte, length)
	r, err := c.Command(ctx, lun, cdb, nil, in)
	switch {
	case err != nil:
		return nil, err
	case r.Status != scsi.Good:
		sense, _ := scsi.ParseSense(r.Sense)
		return nil, &iscsi.StatusError{Status: r.Status, Sense: sense}
	}
	return in[:r.N], nil
}

// iscsiKind are the units of other targets as disks.
func iscsiKind(where *setup.Where) spec.Kind {
	return spec.Kind{
		Name: "iscsi", Arg: "//HOST[:PORT]/TARGET/LUN", Usage: "a unit of another target; options stand behind a #",
		Options: map[string]string{"initiator": "NAME: of this side"},
		Open: func(ctx context.Context, _ *spec.Set, arg string, options spec.Values) (block.Device, error) {
			d := iscsi.Dialer{Initiator: options["initiator"], Dial: where.DialContext}
			return d.Open(ctx, arg)
		},
	}
}

const aboutDD = `Dd copies a disk to another one, which is made if it is a file that is not there. What is a
hole or zeroes in the source is not sent.

FROM and TO are iscsi://[USER%SECRET@]HOST[:PORT]/TARGET/LUN, the path of a file, or a disk as iscsi
serve has them; if= and of= may stand before them.

Examples:
  iscsi dd disk.img iscsi://127.0.0.1/iqn.2026-01.org.example:t1/1
  iscsi dd -verify if=iscsi://127.0.0.1/iqn.2026-01.org.example:t1/1 of=copy.img`

func dd(ctx context.Context, args []string, out io.Writer) error {
	options := diskcopy.Options{}
	o, err := parseClient("dd", "FROM TO", aboutDD, 2, args, out, func(flags *flag.FlagSet) {
		flags.IntVar(&options.Workers, "depth", 8, "`number` of reads and writes under way, 1 to 64, of 1 MB each")
		flags.BoolVar(&options.Verify, "verify", false, "read both again, and compare them")
		flags.BoolVar(&options.Quiet, "quiet", false, "print errors only")
	})
	if err != nil {
		return err
	}
	if options.Workers < 1 || options.Workers > 64 {
		return program.Usage("-depth %d: want 1 to 64", options.Workers)
	}
	options.FromName, options.ToName = strings.TrimPrefix(o.args[0], "if="), strings.TrimPrefix(o.args[1], "of=")
	if err := o.where.Open(); err != nil {
		return err
	}
	defer o.where.Close()
	from, err := o.open(ctx, options.FromName, -1)
	if err != nil {
		return fmt.Errorf("%s: %w", options.FromName, err)
	}
	defer from.Close()
	size, err := from.Size()
	if err != nil {
		return err
	}
	to, err := o.open(ctx, options.ToName, size)
	if err != nil {
		return fmt.Errorf("%s: %w", options.ToName, err)
	}
	return errors.Join(diskcopy.Run(ctx, from, to, options, out), to.Close())
}

// open opens a disk of dd's command line. Size is -1, or that of a file to be made.
func (o *clientOptions) open(ctx context.Context, name string, size int64) (*block.Disk, error) {
	p, err := spec.Parse(diskcopy.Name(name, size))
	if err != nil {
		return nil, err
	}
	if p.Kind == "iscsi" && o.initiator != "" {
		p.Options = append(p.Options, spec.Option{Name: "initiator", Value: o.initiator})
	}
	return kinds(&o.where).OpenSpec(ctx, p)
}
