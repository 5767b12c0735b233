// Nbd-copy copies a disk: between any two of an NBD server, a file, an image, and what
// else block/spec knows.
//
//	go run ./storage/examples/nbd-copy disk.img nbd://127.0.0.1:10809/m
//	go run ./storage/examples/nbd-copy -verify nbd://127.0.0.1:10809/m copy.img
//	go run ./storage/examples/nbd-copy -connections 4 image:golden.qcow2 nbd://127.0.0.1:10809/m
//	go run ./storage/examples/nbd-copy image:golden.qcow2 s3:bucket/disk,create,size=10G
//
// What is a hole or zeroes in the source is not sent, and is a hole in the copy where
// that knows holes. Ctrl-C ends it; the copy is then in part.
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

	"github.com/schollz/progressbar/v3"

	"github.com/seed-012105e5/gonet/internal/program"
	"github.com/seed-012105e5/gonet/storage/block"
	"github.com/seed-012105e5/gonet/storage/block/image"
	"github.com/seed-012105e5/gonet/storage/block/s3"
	"github.com/seed-012105e5/gonet/storage/block/spec"
	"github.com/seed-012105e5/gonet/storage/examples/internal/setup"
	"github.com/seed-012105e5/gonet/storage/nbd"
)

const about = `Nbd-copy copies a disk to another one, which is made if it is a file that is not there.

Usage: nbd-copy [flags] FROM TO

FROM and TO are an NBD URI, the path of a file, or a disk as nbd-serve has them.

Examples:
  nbd-copy disk.img nbd://127.0.0.1:10809/m
  nbd-copy -verify nbd://127.0.0.1:10809/m copy.img
  nbd-copy -connections 4 image:golden.qcow2 nbd://127.0.0.1:10809/m
  nbd-copy image:golden.qcow2 s3:bucket/disk,endpoint=http://127.0.0.1:9000,create,size=10G`

func main() { program.Main(run) }

// options are the command line.
type options struct {
	where       setup.Where
	connections int
	verify      bool
	quiet       bool
	from, to    string
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
	from, err := o.open(ctx, o.from, -1)
	if err != nil {
		return fmt.Errorf("%s: %w", o.from, err)
	}
	defer from.Close()
	size, err := from.Size()
	if err != nil {
		return err
	}
	to, err := o.open(ctx, o.to, size)
	if err != nil {
		return fmt.Errorf("%s: %w", o.to, err)
	}
	err = o.copy(ctx, from, to, size, out)
	return errors.Join(err, to.Close())
}

// copy copies, and compares if that is wanted.
func (o *options) copy(ctx context.Context, from, to *block.Disk, size int64, out io.Writer) error {
	have, err := to.Size()
	switch {
	case err != nil:
		return err
	case have < size:
		return fmt.Errorf("%s has %s, which is less than the %s of %s", o.to, spec.FormatSize(have), spec.FormatSize(size), o.from)
	case to.ReadOnly():
		return fmt.Errorf("%s is read-only", o.to)
	}
	c := copier{from: from, to: to, size: size, workers: 4 * o.connections}
	began := time.Now()
	bar := o.bar("copying", size)
	sent, err := c.copy(ctx, bar)
	bar.Finish()
	if err == nil {
		err = o.upload(ctx, to)
	}
	if err == nil {
		err = to.SyncContext(ctx)
	}
	if err != nil {
		return err
	}
	if !o.quiet {
		fmt.Fprintf(out, "%s copied in %v, of which %s were data\n", spec.FormatSize(size), time.Since(began).Round(time.Millisecond), spec.FormatSize(sent))
	}
	if !o.verify {
		return nil
	}
	bar = o.bar("comparing", size)
	defer bar.Finish()
	return c.compare(ctx, bar)
}

// upload waits until a disk that takes writes faster than it can upload them has done
// so.
func (o *options) upload(ctx context.Context, to *block.Disk) error {
	d, ok := to.Device().(interface {
		Upload(ctx context.Context, progress func(done, total int64)) error
	})
	if !ok {
		return nil
	}
	bar := o.bar("uploading", 1)
	defer bar.Finish()
	return d.Upload(ctx, func(done, total int64) {
		bar.ChangeMax64(max(total, 1))
		bar.Set64(done)
	})
}

// bar is a progress bar on the terminal, if there is one.
func (o *options) bar(what string, size int64) *progressbar.ProgressBar {
	info, err := os.Stderr.Stat()
	if o.quiet || err != nil || info.Mode()&os.ModeCharDevice == 0 {
		return progressbar.DefaultBytesSilent(size, what)
	}
	return progressbar.DefaultBytes(size, what)
}

// parse reads the command line.
func parse(args []string, out io.Writer) (*options, error) {
	o := new(options)
	flags := flag.NewFlagSet("nbd-copy", flag.ContinueOnError)
	flags.IntVar(&o.connections, "connections", 1, "`number` of connections to each server that allows several, 1 to 16")
	flags.BoolVar(&o.verify, "verify", false, "read both again, and compare them")
	flags.BoolVar(&o.quiet, "quiet", false, "print errors only")
	o.where.Flags(flags)
	err := setup.Parse(flags, args, out, about, "")
	switch {
	case err != nil:
		return nil, err
	case flags.NArg() != 2:
		return nil, program.Usage("want FROM and TO")
	case o.connections < 1 || o.connections > 16:
		return nil, program.Usage("-connections %d: want 1 to 16", o.connections)
	}
	o.from, o.to = flags.Arg(0), flags.Arg(1)
	return o, nil
}

// open opens what the command line names. Size is -1, or that of a file to be made.
func (o *options) open(ctx context.Context, name string, size int64) (*block.Disk, error) {
	if scheme, _, ok := strings.Cut(name, "://"); ok && strings.HasPrefix(scheme, "nbd") {
		dialer := nbd.Dialer{DialContext: o.where.DialContext, Connections: o.connections}
		c, err := dialer.Dial(ctx, name)
		if err != nil {
			return nil, err
		}
		return block.NewDisk(c)
	}
	if kind, _, ok := strings.Cut(name, ":"); !ok || strings.ContainsAny(kind, "/.") {
		name = "file:" + strings.ReplaceAll(name, ",", ",,")
		if size < 0 {
			name += ",ro"
		} else {
			name += fmt.Sprintf(",create,size=%d", size)
		}
	}
	return spec.Builtin().With(image.Kind(), s3.Kind(o.where.DialContext)).Open(ctx, name)
}
