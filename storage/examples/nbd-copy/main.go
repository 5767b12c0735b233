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
	"strings"

	"github.com/seed-012105e5/gonet/internal/program"
	"github.com/seed-012105e5/gonet/storage/block"
	"github.com/seed-012105e5/gonet/storage/block/image"
	"github.com/seed-012105e5/gonet/storage/block/s3"
	"github.com/seed-012105e5/gonet/storage/block/spec"
	"github.com/seed-012105e5/gonet/storage/examples/internal/diskcopy"
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
	err = diskcopy.Run(ctx, from, to, diskcopy.Options{
		FromName: o.from, ToName: o.to, Workers: 4 * o.connections, Verify: o.verify, Quiet: o.quiet,
	}, out)
	return errors.Join(err, to.Close())
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
	return spec.Builtin().With(image.Kind(), s3.Kind(o.where.DialContext)).Open(ctx, diskcopy.Name(name, size))
}
