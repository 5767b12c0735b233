package main

import (
	"bufio"
	"errors"
	"flag"
	"fmt"
	"io"
	"net"
	"os"
	"strconv"
	"strings"
	"time"

	"github.com/seed-012105e5/gonet/internal/program"
	"github.com/seed-012105e5/gonet/storage/block/spec"
	"github.com/seed-012105e5/gonet/storage/examples/internal/setup"
)

// options are the flags, which a file may have as well.
type options struct {
	where       setup.Where
	config      string
	printConfig bool
	arguments   []string

	listen, store, tls, users string
	drives                    names
	nbd, iscsi, iscsiName     string
	usbip, usbredir           string
	gadget, gadgetInquiry     string
	gadgetNoFUA               bool
	quota, syncEvery          size
	static                    names
	remote, fetchPrivate      bool
	idle                      time.Duration
	verbose                   bool

	flags *flag.FlagSet
}

// names is a flag that may be given several times, or have several values after spaces.
type names []string

func (n *names) String() string     { return strings.Join(*n, " ") }
func (n *names) Set(s string) error { *n = append(*n, strings.Fields(s)...); return nil }

// size is a flag with a number of bytes, as 64M.
type size int64

func (n *size) String() string { return spec.FormatSize(int64(*n)) }
func (n *size) Set(s string) (err error) {
	v, err := spec.ParseSize(s)
	*n = size(v)
	return err
}

// Of the flags, these are no options of the service and stand in no file.
func (o *options) inFile(f *flag.Flag) bool { return f.Name != "config" && f.Name != "print-config" }

func parse(args []string, out io.Writer) (*options, error) {
	o := &options{syncEvery: 16 << 20}
	f := flag.NewFlagSet("drive", flag.ContinueOnError)
	o.flags = f
	f.StringVar(&o.config, "config", "", "read options from this `file`: lines NAME = VALUE, as -print-config writes them; the command line wins")
	f.BoolVar(&o.printConfig, "print-config", false, "print a commented file of all options as they are, and end")
	f.StringVar(&o.listen, "listen", "127.0.0.1:8443", "`address` of the API and the page, host:port or unix:PATH")
	f.StringVar(&o.store, "store", "images", "`directory` of the images; made if it is not there")
	f.StringVar(&o.tls, "tls", "self", "self: a certificate of one's own, made at the first start; off: plain HTTP; or `CERT,KEY`, two files in PEM")
	f.StringVar(&o.users, "auth", "on", "on: users are in the file users of the store, made at the first start; `off`: everyone may do everything")
	f.Var(&o.drives, "drive", "`name` of a drive, any number of them (default drive)")
	f.StringVar(&o.nbd, "nbd", "127.0.0.1:10809", "`address` where drives are exported by NBD, under their names; empty: not")
	f.StringVar(&o.iscsi, "iscsi", "127.0.0.1:3260", "`address` where drives are LUN 0 of iSCSI targets; empty: not")
	f.StringVar(&o.usbip, "usbip", "", "`address` where drives are USB devices 1-1, 1-2 ... for usbip attach, as 127.0.0.1:3240; there is no authentication (default not)")
	f.StringVar(&o.usbredir, "usbredir", "", "`address` where QEMU has the first drive as a USB device by usbredir, as 127.0.0.1:4000; further drives are at the next ports; there is no authentication (default not)")
	f.StringVar(&o.gadget, "gadget", "", "`controller` of a USB port of this machine, of those in /sys/class/udc, or auto for the first that is free: what is at the other end of the cable sees the drives as units of a USB device; needs root (default not)")
	f.StringVar(&o.gadgetInquiry, "gadget-inquiry", "", "with -gadget: vendor, product and version of the units, a `text` of 8, 16 and 4 characters (default the kernel's)")
	f.BoolVar(&o.gadgetNoFUA, "gadget-nofua", false, "with -gadget: ignore the flag of writes that has them be durable before they are answered, which is faster")
	f.StringVar(&o.iscsiName, "iscsi-name", "iqn.2026-01.org.example", "the `name` of the targets, before a colon and the drive's")
	f.Var(&o.quota, "quota", "what images may take in all, as 100G (default no limit)")
	f.Var(&o.syncEvery, "sync-every", "`bytes` of an upload after which it is made durable")
	f.Var(&o.static, "static", "`pattern` of images that nobody may change or remove, any number of them, as golden/*")
	f.BoolVar(&o.remote, "remote", false, "let a drive have images by their URL: http, https, s3 and nbd, read from there as machines read")
	f.BoolVar(&o.fetchPrivate, "fetch-private", false, "let images be fetched from, and remote ones be at, addresses that are not public, as those of one's own network")
	f.DurationVar(&o.idle, "idle", time.Minute, "give up a client that sends or takes nothing for so long")
	f.BoolVar(&o.verbose, "verbose", false, "log calls that only look, too")
	o.where.ServerFlags(f)
	if err := setup.Parse(f, args, out, about, ""); err != nil {
		return nil, err
	}
	o.arguments = f.Args()
	if o.config != "" {
		if err := o.read(); err != nil {
			return nil, program.Usage("%w", err)
		}
	}
	if len(o.drives) == 0 {
		o.drives = names{"drive"}
	}
	if o.tls != "self" && o.tls != "off" && !strings.Contains(o.tls, ",") {
		return nil, program.Usage("-tls %s: want self, off, or CERT,KEY", o.tls)
	}
	if o.users != "on" && o.users != "off" {
		return nil, program.Usage("-auth %s: want on or off", o.users)
	}
	if o.gadget != "" && (o.where.Rootless() || len(o.drives) > 8) {
		return nil, program.Usage("-gadget needs root, so not with -rootless, and takes 8 drives")
	}
	return o, nil
}

// addresses are those to listen at.
func (o *options) addresses() ([]string, error) {
	all := []string{o.listen, o.nbd, o.iscsi, o.usbip}
	for i := range o.drives {
		at, err := o.redirAddress(i)
		if err != nil {
			return nil, program.Usage("-usbredir: %w", err)
		}
		all = append(all, at)
	}
	return all, nil
}

// redirAddress is where a drive is offered by usbredir.
func (o *options) redirAddress(drive int) (string, error) {
	if path, ok := strings.CutPrefix(o.usbredir, "unix:"); ok && drive > 0 {
		return fmt.Sprintf("unix:%s-%d", path, drive+1), nil
	}
	if o.usbredir == "" || drive == 0 || strings.HasPrefix(o.usbredir, "unix:") {
		return o.usbredir, nil
	}
	host, text, err := net.SplitHostPort(o.usbredir)
	if err != nil {
		return "", err
	}
	port, err := strconv.ParseUint(text, 10, 16)
	if err != nil || int(port)+drive > 65535 {
		return "", fmt.Errorf("there is no port %s+%d", text, drive)
	}
	if port != 0 { // else each has one that is free
		port += uint64(drive)
	}
	return net.JoinHostPort(host, strconv.FormatUint(port, 10)), nil
}

// read takes options from the file, but for those of the command line.
func (o *options) read() error {
	file, err := os.Open(o.config)
	if err != nil {
		return err
	}
	defer file.Close()
	given := map[string]bool{}
	o.flags.Visit(func(f *flag.Flag) { given[f.Name] = true })
	lines := bufio.NewScanner(io.LimitReader(file, 1<<20))
	for n := 1; lines.Scan(); n++ {
		line := strings.TrimSpace(lines.Text())
		if line == "" || line[0] == '#' {
			continue
		}
		name, value, ok := strings.Cut(line, "=")
		name, value = strings.TrimSpace(name), strings.TrimSpace(value)
		f := o.flags.Lookup(name)
		switch {
		case !ok:
			err = errors.New("want NAME = VALUE")
		case f == nil || !o.inFile(f):
			err = fmt.Errorf("there is no option %q", name)
		case given[name]:
		default:
			err = f.Value.Set(value)
		}
		if err != nil {
			return fmt.Errorf("%s:%d: %w", o.config, n, err)
		}
	}
	return lines.Err()
}

// sections are the options in the order of the file.
var sections = []struct {
	title string
	names []string
}{
	{"The API and the page", []string{"listen", "tls", "auth", "idle", "verbose"}},
	{"The images", []string{"store", "quota", "sync-every", "static", "remote", "fetch-private"}},
	{"The drives, and the ways by which machines see them", []string{"drive", "nbd", "iscsi", "iscsi-name", "usbip", "usbredir", "gadget", "gadget-inquiry", "gadget-nofua"}},
	{"Sockets of the kernel's, or a stack of the program's own", []string{"tap", "addr", "host", "rootless"}},
}

// print writes the file of all options. What is not set stands behind #.
func (o *options) print(out io.Writer) error {
	fmt.Fprintln(out, "# Options of the virtual drive: drive -config drive.conf. Each is a flag as well, which\n# wins. drive -print-config writes this file, with the flags that it is given.")
	for _, section := range sections {
		fmt.Fprintf(out, "\n\n# %s.\n", section.title)
		for _, name := range section.names {
			f := o.flags.Lookup(name)
			argument, usage := flag.UnquoteUsage(f)
			fmt.Fprintf(out, "\n%s", comment(usage))
			if value := f.Value.String(); value != "" && value != "0" {
				fmt.Fprintf(out, "%s = %s\n", name, value)
			} else {
				fmt.Fprintf(out, "# %s = %s\n", name, argument)
			}
		}
	}
	return nil
}

// comment is a text in lines of a file that say nothing.
func comment(text string) string {
	var b strings.Builder
	line := "#"
	for word := range strings.FieldsSeq(text) {
		if len(line)+1+len(word) > 90 {
			b.WriteString(line + "\n")
			line = "#"
		}
		line += " " + word
	}
	return b.String() + line + "\n"
}
