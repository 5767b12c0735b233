// Nbd-info tells what an NBD server exports, and where in an export data is.
//
//	go run ./storage/examples/nbd-info nbd://127.0.0.1:10809/m
//	go run ./storage/examples/nbd-info -list nbd://127.0.0.1:10809
//	go run ./storage/examples/nbd-info -map -json nbd+unix:///?socket=/tmp/nbd.sock
package main

import (
	"context"
	"encoding/json"
	"flag"
	"fmt"
	"io"

	"github.com/seed-012105e5/gonet/internal/program"
	"github.com/seed-012105e5/gonet/storage/block"
	"github.com/seed-012105e5/gonet/storage/block/spec"
	"github.com/seed-012105e5/gonet/storage/examples/internal/setup"
	"github.com/seed-012105e5/gonet/storage/nbd"
)

const about = `Nbd-info tells what an NBD server exports, and where in an export data is.

Usage: nbd-info [flags] URI

Examples:
  nbd-info nbd://127.0.0.1:10809/m
  nbd-info -list nbd://127.0.0.1:10809
  nbd-info -map -json nbd+unix:///?socket=/tmp/nbd.sock`

func main() { program.Main(run) }

// An info is what is told of one export. Sizes are in bytes.
type info struct {
	Name        string   `json:"name"`
	Description string   `json:"description,omitempty"`
	Size        int64    `json:"size"` // -1: not told
	ReadOnly    bool     `json:"readOnly"`
	Rotational  bool     `json:"rotational"`
	MultiConn   bool     `json:"multiConn"`
	Can         []string `json:"can,omitempty"`
	Minimum     uint32   `json:"minimumBlockSize,omitempty"`
	Preferred   uint32   `json:"preferredBlockSize,omitempty"`
	Maximum     uint32   `json:"maximumRequestSize,omitempty"`
	Contexts    []string `json:"contexts,omitempty"`
	Map         []extent `json:"map,omitempty"`
}

// An extent is a range of one kind: data, zero, hole, or hole,zero.
type extent struct {
	Offset int64  `json:"offset"`
	Length int64  `json:"length"`
	Type   string `json:"type"`
}

func run(ctx context.Context, args []string, out io.Writer) error {
	flags := flag.NewFlagSet("nbd-info", flag.ContinueOnError)
	list := flags.Bool("list", false, "tell of all exports that the server lists")
	extents := flags.Bool("map", false, "tell where data, zeroes and holes are")
	asJSON := flags.Bool("json", false, "print JSON")
	var where setup.Where
	where.Flags(flags)
	err := setup.Parse(flags, args, out, about, "")
	switch {
	case err != nil:
		return err
	case flags.NArg() != 1:
		return program.Usage("want one URI, as nbd://127.0.0.1:10809/m")
	case *list && *extents:
		return program.Usage("-map is of one export, -list of all")
	}
	if err := where.Open(); err != nil {
		return err
	}
	defer where.Close()
	dialer := nbd.Dialer{DialContext: where.DialContext}
	var infos []info
	if *list {
		exports, err := dialer.List(ctx, flags.Arg(0))
		if err != nil {
			return err
		}
		for _, e := range exports {
			infos = append(infos, of(e))
		}
	} else {
		one, err := ask(ctx, &dialer, flags.Arg(0), *extents)
		if err != nil {
			return err
		}
		infos = append(infos, one)
	}
	if *asJSON {
		encoder := json.NewEncoder(out)
		encoder.SetIndent("", "  ")
		return encoder.Encode(infos)
	}
	for _, i := range infos {
		i.print(out)
	}
	return nil
}

// ask connects to an export.
func ask(ctx context.Context, dialer *nbd.Dialer, uri string, extents bool) (info, error) {
	c, err := dialer.Dial(ctx, uri)
	if err != nil {
		return info{}, err
	}
	defer c.Close()
	i := of(c.Export())
	if !extents {
		return i, nil
	}
	size, err := c.Size()
	if err != nil {
		return info{}, err
	}
	err = c.ExtentsContext(ctx, 0, size, func(e block.Extent) bool {
		kind := kindOf(e)
		if n := len(i.Map); n > 0 && i.Map[n-1].Type == kind {
			i.Map[n-1].Length += e.Length
		} else {
			i.Map = append(i.Map, extent{e.Off, e.Length, kind})
		}
		return true
	})
	return i, err
}

func kindOf(e block.Extent) string {
	switch {
	case e.Hole && e.Zero:
		return "hole,zero"
	case e.Hole:
		return "hole"
	case e.Zero:
		return "zero"
	}
	return "data"
}

// powers are what a server may say that it can, by its flags.
var powers = []struct {
	flag nbd.Flags
	name string
}{
	{nbd.FlagSendFlush, "flush"}, {nbd.FlagSendFUA, "fua"}, {nbd.FlagSendTrim, "trim"}, {nbd.FlagSendWriteZeroes, "zero"},
	{nbd.FlagSendFastZero, "fast zero"}, {nbd.FlagSendCache, "cache"}, {nbd.FlagSendDF, "df"}, {nbd.FlagSendResize, "resize"},
}

func of(e nbd.ExportInfo) info {
	i := info{
		Name: e.Name, Description: e.Description, Size: e.Size, Contexts: e.Contexts,
		ReadOnly: e.Flags.Has(nbd.FlagReadOnly), Rotational: e.Flags.Has(nbd.FlagRotational), MultiConn: e.Flags.Has(nbd.FlagCanMultiConn),
		Minimum: e.MinimumBlockSize, Preferred: e.PreferredBlockSize, Maximum: e.MaximumRequestSize,
	}
	for _, p := range powers {
		if e.Flags.Has(p.flag) {
			i.Can = append(i.Can, p.name)
		}
	}
	return i
}

// print prints an info as text.
func (i *info) print(out io.Writer) {
	fmt.Fprintf(out, "export %q:\n", i.Name)
	if i.Description != "" {
		fmt.Fprintf(out, "  description   %s\n", i.Description)
	}
	if i.Size >= 0 {
		fmt.Fprintf(out, "  size          %d (%s)\n", i.Size, spec.FormatSize(i.Size))
	}
	fmt.Fprintf(out, "  read-only     %v\n  rotational    %v\n  connections   %s\n  can           %v\n", i.ReadOnly, i.Rotational, connections(i.MultiConn), i.Can)
	fmt.Fprintf(out, "  block sizes   minimum %d, preferred %d, longest request %d\n  meta contexts %v\n", i.Minimum, i.Preferred, i.Maximum, i.Contexts)
	for _, e := range i.Map {
		fmt.Fprintf(out, "  %16d %16d  %s\n", e.Offset, e.Length, e.Type)
	}
}

func connections(several bool) string {
	if several {
		return "several"
	}
	return "one"
}
