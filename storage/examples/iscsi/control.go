package main

import (
	"context"
	"flag"
	"fmt"
	"io"
	"maps"
	"slices"
	"strconv"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/seed-012105e5/gonet/internal/program"
	"github.com/seed-012105e5/gonet/storage/block/spec"
	"github.com/seed-012105e5/gonet/storage/examples/internal/setup"
	"github.com/seed-012105e5/gonet/storage/iscsi/admin"
)

// adminFlag adds -admin.
func adminFlag(flags *flag.FlagSet, address *string, usage string) {
	otherwise, err := admin.DefaultAddress()
	if err != nil {
		otherwise = ""
	}
	flags.StringVar(address, "admin", otherwise, usage)
}

// control reads the command line of a command that a server does: its arguments are from
// least to most in number. More adds flags, and may be nil.
func control(name, usage, text string, least, most int, args []string, out io.Writer, more func(*flag.FlagSet)) (c admin.Control, rest []string, err error) {
	var address string
	flags := flag.NewFlagSet("iscsi "+name, flag.ContinueOnError)
	adminFlag(flags, &address, "where the server is managed: the `path` of a socket, or tcp:HOST:PORT")
	if more != nil {
		more(flags)
	}
	err = setup.Parse(flags, args, out, text+"\n\nUsage: iscsi "+name+" [flags] "+usage, "")
	switch n := flags.NArg(); {
	case err != nil:
		return nil, nil, err
	case n < least || n > most:
		return nil, nil, program.Usage("want iscsi %s %s", name, usage)
	case address == "":
		return nil, nil, program.Usage("-admin: want where the server is managed")
	}
	return admin.NewClient(address), flags.Args(), nil
}

// manyLUNs bounds the units that a command line names.
const manyLUNs = 16384

// table writes lines of columns.
func table(out io.Writer, columns ...string) *tabwriter.Writer {
	w := tabwriter.NewWriter(out, 0, 8, 2, ' ', 0)
	fmt.Fprintln(w, strings.Join(columns, "\t"))
	return w
}

func list(ctx context.Context, args []string, out io.Writer) error {
	c, _, err := control("list", "", "List shows the targets that are served, and their units.", 0, 0, args, out, nil)
	if err != nil {
		return err
	}
	targets, err := c.Targets(ctx)
	if err != nil {
		return err
	}
	w := table(out, "target", "unit", "size", "disk")
	for _, t := range targets {
		if len(t.LUNs) == 0 {
			fmt.Fprintf(w, "%s\t-\t-\t-\n", t.Name)
		}
		for _, n := range slices.Sorted(maps.Keys(t.LUNs)) {
			l := t.LUNs[n]
			fmt.Fprintf(w, "%s\t%d\t%s\t%s\n", t.Name, n, spec.FormatSize(l.Size), l.Disk)
		}
	}
	return w.Flush()
}

func create(ctx context.Context, args []string, out io.Writer) error {
	t := admin.Target{LUNs: map[int]admin.LUN{}}
	c, rest, err := control("create", "NAME [N=DISK ...]", "Create makes a target, with its units. Paths are the server's.", 1, 1+manyLUNs, args, out, func(flags *flag.FlagSet) {
		flags.StringVar(&t.Alias, "alias", "", "`text` that initiators are shown")
		flags.Func("chap", "`USER%SECRET` that initiators prove, any number of times", func(text string) error { return addCHAP(&t, text) })
	})
	if err != nil {
		return err
	}
	t.Name = rest[0]
	for _, text := range rest[1:] {
		if err := addLUN(t.LUNs, text); err != nil {
			return program.Usage("%w", err)
		}
	}
	return c.Create(ctx, t)
}

func remove(ctx context.Context, args []string, out io.Writer) error {
	c, rest, err := control("rm", "NAME", "Rm takes a target away. Its initiators are asked to log out.", 1, 1, args, out, nil)
	if err != nil {
		return err
	}
	return c.Remove(ctx, rest[0])
}

func lun(ctx context.Context, args []string, out io.Writer) error {
	if len(args) > 0 {
		switch args[0] {
		case "add":
			return lunAdd(ctx, args[1:], out)
		case "rm":
			return lunRemove(ctx, args[1:], out)
		case "-h", "-help", "--help":
			fmt.Fprint(out, "Usage: iscsi lun add NAME N=DISK\n       iscsi lun rm NAME N\n")
			return flag.ErrHelp
		}
	}
	return program.Usage("want iscsi lun add NAME N=DISK, or iscsi lun rm NAME N")
}

func lunAdd(ctx context.Context, args []string, out io.Writer) error {
	c, rest, err := control("lun add", "NAME N=DISK", "Lun add adds a unit to a target. Paths are the server's.", 2, 2, args, out, nil)
	if err != nil {
		return err
	}
	luns := map[int]admin.LUN{}
	if err := addLUN(luns, rest[1]); err != nil {
		return program.Usage("%w", err)
	}
	for n, l := range luns {
		err = c.AddLUN(ctx, rest[0], n, l)
	}
	return err
}

func lunRemove(ctx context.Context, args []string, out io.Writer) error {
	c, rest, err := control("lun rm", "NAME N", "Lun rm takes a unit of a target away.", 2, 2, args, out, nil)
	if err != nil {
		return err
	}
	n, err := strconv.Atoi(rest[1])
	if err != nil {
		return program.Usage("%q is no number of a unit", rest[1])
	}
	return c.RemoveLUN(ctx, rest[0], n)
}

func sessions(ctx context.Context, args []string, out io.Writer) error {
	c, _, err := control("sessions", "", "Sessions shows who is logged in.", 0, 0, args, out, nil)
	if err != nil {
		return err
	}
	all, err := c.Sessions(ctx)
	if err != nil {
		return err
	}
	w := table(out, "initiator", "from", "target", "user", "since")
	for _, s := range all {
		target, user := s.Target, s.User
		if target == "" {
			target = "(discovery)"
		}
		if user == "" {
			user = "-"
		}
		fmt.Fprintf(w, "%s\t%s\t%s\t%s\t%s\n", s.Initiator, s.Remote, target, user, s.Since.Format(time.DateTime))
	}
	return w.Flush()
}

func stats(ctx context.Context, args []string, out io.Writer) error {
	c, _, err := control("stats", "", "Stats shows the counters of the server that are not zero.", 0, 0, args, out, nil)
	if err != nil {
		return err
	}
	s, err := c.Stats(ctx)
	if err != nil {
		return err
	}
	_, err = fmt.Fprint(out, s)
	return err
}

func reload(ctx context.Context, args []string, out io.Writer) error {
	c, _, err := control("reload", "", "Reload has the server read its configuration file again.", 0, 0, args, out, nil)
	if err != nil {
		return err
	}
	return c.Reload(ctx)
}
