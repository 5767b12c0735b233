// Iscsi serves disks as iSCSI targets, manages them while they are served, and uses
// those of others.
//
//	go run ./storage/examples/iscsi serve -target iqn.2026-01.org.example:t1 -lun 1=file:lun.img
//	go run ./storage/examples/iscsi serve -config iscsi.json
//	go run ./storage/examples/iscsi serve -rootless -target iqn.2026-01.org.example:t1 -lun 1=memory:64M
//
//	go run ./storage/examples/iscsi list
//	go run ./storage/examples/iscsi create iqn.2026-01.org.example:t2 1=memory:64M 2=file:debian.iso,ro,type=cdrom
//	go run ./storage/examples/iscsi lun add iqn.2026-01.org.example:t2 3=image:golden.qcow2
//
//	go run ./storage/examples/iscsi ls 127.0.0.1
//	go run ./storage/examples/iscsi dd disk.img iscsi://127.0.0.1/iqn.2026-01.org.example:t2/1
//
// Ctrl-C asks initiators to log out, lets what they have asked for come to its end, for
// some seconds, syncs the disks, and ends. SIGHUP, or reload, reads the file of -config
// again; sessions with targets that stay as they are go on.
package main

import (
	"context"
	"flag"
	"fmt"
	"io"

	"github.com/seed-012105e5/gonet/internal/program"
)

const about = `Iscsi serves disks as iSCSI targets, manages them while they are served, and uses those of
others.

Usage: iscsi COMMAND [flags] [arguments]; iscsi COMMAND -h explains each

A target:
  serve                       serves targets
  list                        shows what is served
  create NAME [N=DISK ...]    makes a target
  rm NAME                     takes a target away
  lun add NAME N=DISK         adds a unit to a target
  lun rm NAME N               takes it away
  sessions                    shows who is logged in
  stats                       shows the counters
  reload                      reads the configuration file again

An initiator:
  discover PORTAL             asks a portal for its targets
  ls PORTAL                   shows the units of all targets of a portal
  inq URL                     shows what a unit says of itself
  dd FROM TO                  copies between units, files and other disks

Examples:
  iscsi serve -listen 127.0.0.1:3260 -target iqn.2026-01.org.example:t1 -lun 1=file:lun.img
  iscsi list
  iscsi ls 127.0.0.1:3260
  iscsi dd iscsi://127.0.0.1/iqn.2026-01.org.example:t1/1 copy.img
`

// A command is one of those of the command line.
type command func(ctx context.Context, args []string, out io.Writer) error

func main() { program.Main(run) }

func run(ctx context.Context, args []string, out io.Writer) error {
	commands := map[string]command{
		"serve": serve, "list": list, "create": create, "rm": remove, "lun": lun, "sessions": sessions,
		"stats": stats, "reload": reload, "discover": discover, "ls": ls, "inq": inq, "dd": dd,
	}
	if len(args) == 0 {
		return program.Usage("want a command, as in iscsi serve -target iqn.2026-01.org.example:t1 -lun 1=memory:64M")
	}
	switch args[0] {
	case "-h", "-help", "--help", "help":
		fmt.Fprint(out, about)
		return flag.ErrHelp
	}
	c, ok := commands[args[0]]
	if !ok {
		return program.Usage("there is no command %q", args[0])
	}
	return c(ctx, args[1:], out)
}
