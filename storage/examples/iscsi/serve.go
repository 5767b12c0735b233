package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"maps"
	"net"
	"os"
	"os/signal"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"time"

	"github.com/seed-012105e5/gonet/internal/program"
	"github.com/seed-012105e5/gonet/storage/block/image"
	"github.com/seed-012105e5/gonet/storage/block/s3"
	"github.com/seed-012105e5/gonet/storage/block/spec"
	"github.com/seed-012105e5/gonet/storage/examples/internal/setup"
	"github.com/seed-012105e5/gonet/storage/iscsi"
	"github.com/seed-012105e5/gonet/storage/iscsi/admin"
)

const aboutServe = `Serve serves targets, given by flags or by a file, to open-iscsi, libiscsi, qemu and all else
that speaks iSCSI.

Usage: iscsi serve [flags] -target NAME -lun N=DISK [-lun N=DISK ...] [-target ...]
       iscsi serve [flags] -config FILE

The file is what gotgt has as its config.json; iscsi serve reads "disk" of a storage too,
which is a disk as below, and "alias" and "access" of a target.

Examples:
  iscsi serve -listen 127.0.0.1:3260 -target iqn.2026-01.org.example:t1 -lun 1=file:lun.img
  iscsi serve -target iqn.2026-01.org.example:t1 -lun 0=memory:64M -lun 1=file:debian.iso,ro,type=cdrom
  iscsi serve -target iqn.2026-01.org.example:t1 -chap 'user%a-long-secret' -lun 1=image:golden.qcow2
  iscsi serve -config ~/.gotgt/config.json
  sudo iscsi serve -tap tap0 -listen :3260 -target iqn.2026-01.org.example:t1 -lun 1=memory:1G
  iscsi serve -rootless -target iqn.2026-01.org.example:t1 -lun 1=memory:64M`

// grace is how long commands may take when the program is to end.
const grace = 5 * time.Second

// serveOptions are the command line of serve.
type serveOptions struct {
	where    setup.Where
	listen   string
	listenAt bool // -listen was given
	targets  []admin.Target
	config   string
	admin    string
	quiet    bool
	stats    bool
}

func serve(ctx context.Context, args []string, out io.Writer) (err error) {
	o, err := parseServe(args, out)
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
	d := newDaemon(o, out)
	defer func() { err = errors.Join(err, d.close(ctx)) }()
	if err := d.apply(ctx, true); err != nil {
		return err
	}
	if o.admin == "off" {
		d.announce(nil)
		return d.wait(ctx)
	}
	l, err := admin.Listen(ctx, o.admin)
	if err != nil {
		return fmt.Errorf("-admin: %w (-admin ADDRESS is where to listen, -admin off does without)", err)
	}
	d.announce(l.Addr())
	controlled, stop := context.WithCancel(ctx)
	ended := make(chan error, 1)
	go func() { ended <- admin.Serve(controlled, l, d.manager) }()
	err = d.wait(ctx)
	stop()
	return errors.Join(err, <-ended)
}

// wait serves until ctx is done or a portal fails, and reloads on SIGHUP.
func (d *daemon) wait(ctx context.Context) error {
	hup := make(chan os.Signal, 1)
	signal.Notify(hup, syscall.SIGHUP)
	defer signal.Stop(hup)
	for {
		select {
		case <-ctx.Done():
			return nil
		case err := <-d.portals.failed:
			return err
		case <-hup:
			if err := d.manager.Reload(ctx); err != nil && ctx.Err() == nil {
				fmt.Fprintf(os.Stderr, "reload: %v\n", err)
			}
		}
	}
}

// A daemon is what serve runs.
type daemon struct {
	options *serveOptions
	out     io.Writer
	server  *iscsi.Server
	manager *admin.Manager
	portals *portals
	turn    chan struct{} // held by who applies a configuration
}

func newDaemon(o *serveOptions, out io.Writer) *daemon {
	d := &daemon{options: o, out: out, server: new(iscsi.Server), turn: make(chan struct{}, 1)}
	if !o.quiet {
		d.server.ErrorLog = func(remote net.Addr, err error) { fmt.Fprintf(os.Stderr, "%v: %v\n", remote, err) }
	}
	var reload func(context.Context) error
	if o.config != "" {
		reload = func(ctx context.Context) error { return d.apply(ctx, false) }
	}
	d.manager = admin.NewManager(d.server, kinds(&o.where), reload)
	d.portals = newPortals(d.server, o.where.Listen)
	return d
}

// kinds are the disks that can be named.
func kinds(where *setup.Where) *spec.Set {
	return spec.Builtin().With(image.Kind(), s3.Kind(where.DialContext), iscsiKind(where))
}

// apply makes what is served as the flags and the file say.
func (d *daemon) apply(ctx context.Context, first bool) error {
	select {
	case d.turn <- struct{}{}:
	case <-ctx.Done():
		return ctx.Err()
	}
	defer func() { <-d.turn }()
	o := d.options
	c := &configuration{}
	if o.config != "" {
		var err error
		if c, err = readConfig(o.config); err != nil {
			return err
		}
	}
	c.targets = append(slices.Clone(o.targets), c.targets...)
	if o.listenAt || len(c.portals) == 0 {
		c.portals = map[string]uint16{o.listen: 1}
		for i := range c.targets {
			c.targets[i].Groups = nil
		}
	}
	changes, err := d.manager.Apply(ctx, c.targets)
	err = errors.Join(err, d.portals.apply(ctx, c.portals))
	if o.quiet {
		return err
	}
	for _, n := range c.notes {
		fmt.Fprintf(d.out, "note: %s: %s\n", o.config, n)
	}
	if !first {
		fmt.Fprintf(d.out, "%s was read again: %d changes\n", o.config, len(changes))
		for _, change := range changes {
			fmt.Fprintln(d.out, change)
		}
	}
	return err
}

// close ends all: sessions, then disks.
func (d *daemon) close(ctx context.Context) error {
	background := context.WithoutCancel(ctx)
	late, cancel := context.WithTimeout(background, grace)
	defer cancel()
	d.server.Shutdown(late) // or ends them
	d.portals.close()
	err := d.manager.Close(background)
	if d.options.stats {
		fmt.Fprint(d.out, d.server.Stats())
	}
	return err
}

// announce says what is served where, and where it is managed, unless that is nil.
func (d *daemon) announce(managed net.Addr) {
	out := d.out
	if d.options.quiet {
		return
	}
	targets, _ := d.manager.Targets(context.Background())
	fmt.Fprintf(out, "%-64s %8s  %s\n", "URL", "size", "disk")
	for _, t := range targets {
		place := d.portals.place(t.Groups)
		if place == nil {
			fmt.Fprintf(out, "%s has no portal\n", t.Name)
			continue
		}
		for _, n := range slices.Sorted(maps.Keys(t.LUNs)) {
			l := t.LUNs[n]
			url := fmt.Sprintf("iscsi://%s/%s/%d", d.options.where.Host(place), t.Name, n)
			fmt.Fprintf(out, "%-64s %8s  %s\n", url, spec.FormatSize(l.Size), l.Disk)
		}
	}
	if managed != nil {
		fmt.Fprintf(out, "managed at %v\n", managed)
	}
}

// parseServe reads the command line.
func parseServe(args []string, out io.Writer) (*serveOptions, error) {
	o := new(serveOptions)
	flags := flag.NewFlagSet("iscsi serve", flag.ContinueOnError)
	flags.StringVar(&o.listen, "listen", "127.0.0.1:3260", "`address` to listen at, host:port; with -config in place of the portals of the file")
	flags.Func("target", "`name` of a target, as iqn.2026-01.org.example:t1, any number of times", func(name string) error {
		o.targets = append(o.targets, admin.Target{Name: name, LUNs: map[int]admin.LUN{}})
		return nil
	})
	last := func() (*admin.Target, error) {
		if len(o.targets) == 0 {
			return nil, errors.New("want -target before it")
		}
		return &o.targets[len(o.targets)-1], nil
	}
	flags.Func("lun", "`N=DISK`: a unit of the target before it, any number of times", func(text string) error {
		t, err := last()
		if err != nil {
			return err
		}
		return addLUN(t.LUNs, text)
	})
	flags.Func("chap", "`USER%SECRET` that initiators of the target before it prove; others see it: -config has it in a file", func(text string) error {
		t, err := last()
		if err != nil {
			return err
		}
		return addCHAP(t, text)
	})
	flags.StringVar(&o.config, "config", "", "`file` with targets and portals, in the form of gotgt's")
	adminFlag(flags, &o.admin, "where list, create and the others find this server: the `path` of a socket that only you may open,\ntcp:HOST:PORT, which whoever reaches it may use, or off")
	flags.BoolVar(&o.quiet, "quiet", false, "print errors only")
	flags.BoolVar(&o.stats, "stats", false, "print the counters of the server at the end")
	o.where.ServerFlags(flags)
	err := setup.Parse(flags, args, out, aboutServe, "\nDisks:\n"+kinds(&o.where).Usage()+admin.UnitUsage)
	if err != nil {
		return nil, err
	}
	given := map[string]bool{}
	flags.Visit(func(f *flag.Flag) { given[f.Name] = true })
	o.listenAt = given["listen"] || given["rootless"]
	switch {
	case flags.NArg() > 0:
		return nil, program.Usage("unexpected argument %q", flags.Arg(0))
	case len(o.targets) == 0 && o.config == "" && !given["admin"]:
		return nil, program.Usage("nothing to serve: want -target NAME -lun N=DISK, or -config FILE")
	case strings.HasPrefix(o.listen, "unix:"):
		return nil, program.Usage("-listen %s: iSCSI has addresses of TCP only", o.listen)
	case o.admin == "":
		return nil, program.Usage("-admin: there is neither XDG_RUNTIME_DIR nor a home directory; want a path, or off")
	}
	return o, nil
}

// addCHAP adds what a command line says of those who may use a target.
func addCHAP(t *admin.Target, text string) error {
	user, secret, ok := strings.Cut(text, "%")
	if !ok {
		return errors.New("want USER%SECRET")
	}
	t.Access = append(t.Access, admin.Access{User: user, Secret: secret})
	return nil
}

// addLUN adds what a command line says of a unit.
func addLUN(luns map[int]admin.LUN, text string) error {
	number, disk, ok := strings.Cut(text, "=")
	n, err := strconv.Atoi(number)
	switch {
	case !ok || err != nil || disk == "":
		return fmt.Errorf("%q: want N=DISK, as 1=memory:64M", text)
	case luns[n].Disk != "":
		return fmt.Errorf("unit %d is there twice", n)
	}
	luns[n] = admin.LUN{Disk: disk}
	return nil
}
