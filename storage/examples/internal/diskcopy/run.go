package diskcopy

import (
	"context"
	"fmt"
	"io"
	"os"
	"strings"
	"time"

	"github.com/schollz/progressbar/v3"

	"github.com/seed-012105e5/gonet/storage/block"
	"github.com/seed-012105e5/gonet/storage/block/spec"
)

// Options are how [Run] copies.
type Options struct {
	FromName, ToName string // for what is printed
	Workers          int
	Verify, Quiet    bool
}

// Run copies from to to, with a progress bar, makes the copy durable, and compares if
// that is wanted.
func Run(ctx context.Context, from, to *block.Disk, o Options, out io.Writer) error {
	size, err := from.Size()
	if err != nil {
		return err
	}
	have, err := to.Size()
	switch {
	case err != nil:
		return err
	case have < size:
		return fmt.Errorf("%s has %s, which is less than the %s of %s", o.ToName, spec.FormatSize(have), spec.FormatSize(size), o.FromName)
	case to.ReadOnly():
		return fmt.Errorf("%s is read-only", o.ToName)
	}
	c := Copier{From: from, To: to, Size: size, Workers: o.Workers}
	began := time.Now()
	bar := o.bar("copying", size)
	sent, err := c.Copy(ctx, bar)
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
	if !o.Quiet {
		fmt.Fprintf(out, "%s copied in %v, of which %s were data\n", spec.FormatSize(size), time.Since(began).Round(time.Millisecond), spec.FormatSize(sent))
	}
	if !o.Verify {
		return nil
	}
	bar = o.bar("comparing", size)
	defer bar.Finish()
	return c.Compare(ctx, bar)
}

// upload waits until a disk that takes writes faster than it can upload them has done
// so.
func (o *Options) upload(ctx context.Context, to *block.Disk) error {
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
func (o *Options) bar(what string, size int64) *progressbar.ProgressBar {
	info, err := os.Stderr.Stat()
	if o.Quiet || err != nil || info.Mode()&os.ModeCharDevice == 0 {
		return progressbar.DefaultBytesSilent(size, what)
	}
	return progressbar.DefaultBytes(size, what)
}

// Name is a disk as package spec has it, of what may also be the path of a file. Size
// is -1, or that of a file to be made.
func Name(name string, size int64) string {
	if kind, _, ok := strings.Cut(name, ":"); ok && !strings.ContainsAny(kind, "/.") {
		return name
	}
	name = "file:" + strings.ReplaceAll(name, ",", ",,")
	if size < 0 {
		return name + ",ro"
	}
	return name + fmt.Sprintf(",create,size=%d", size)
}
