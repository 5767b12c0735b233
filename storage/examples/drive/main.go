// Drive keeps disk and CD images, and has machines see one as a medium: an API over HTTPS
// that is PiKVM's, with NBD, iSCSI, USB/IP, usbredir and a USB port of this machine behind
// it.
//
//	go run ./storage/examples/drive -listen 127.0.0.1:8443 -store DIR
//
// It prints its URL, the fingerprint of its certificate, and at the first start a user and
// a password. Then, with curl -k -u admin:PASSWORD:
//
//	curl ... -T debian.iso -X POST 'https://127.0.0.1:8443/api/msd/write?image=debian.iso'
//	curl ... -X POST 'https://127.0.0.1:8443/api/msd/set_params?image=debian.iso&cdrom=1'
//	curl ... -X POST 'https://127.0.0.1:8443/api/msd/set_connected?connected=1'
//	qemu-system-x86_64 -cdrom nbd://127.0.0.1:10809/drive
//
// Killed at any instant and started again, it has all images that were whole, uploads go on
// where they were, and a drive that was connected is connected.
package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"

	"github.com/seed-012105e5/gonet/internal/program"
	"github.com/seed-012105e5/gonet/storage/drive/api"
)

const about = `Drive keeps disk and CD images and has machines see one of them as a medium, by NBD,
iSCSI, USB/IP, usbredir, or a USB port of this machine; an API over HTTPS, which is
PiKVM's, and a page say which.

Usage: drive [flags]
       drive -store DIR passwd NAME ROLE   sets a password, which it reads from its input
       drive -store DIR token NAME ROLE    makes a token and prints it

Roles are view, operate (connect and disconnect too) and upload (everything).

Examples:
  drive -listen 127.0.0.1:8443 -store images
  drive -config drive.conf
  drive -print-config >drive.conf
  drive -rootless -store images
  sudo drive -tap tap0 -listen :8443 -nbd :10809 -iscsi :3260 -usbip :3240 -store images
  sudo drive -gadget auto -store images

An image is put in and shown to machines, with the password that the program prints, by
  curl -k -u admin:PASSWORD -X POST -T debian.iso 'https://127.0.0.1:8443/api/msd/write?image=debian.iso'
  curl -k -u admin:PASSWORD -X POST 'https://127.0.0.1:8443/api/msd/set_params?image=debian.iso&cdrom=1'
  curl -k -u admin:PASSWORD -X POST 'https://127.0.0.1:8443/api/msd/set_connected?connected=1'
and a machine has it by one of
  qemu-system-x86_64 -cdrom nbd://127.0.0.1:10809/drive
  sudo usbip attach -r 127.0.0.1 -b 1-1`

func main() { program.Main(run) }

func run(ctx context.Context, args []string, out io.Writer) error {
	o, err := parse(args, out)
	if err != nil {
		return err
	}
	switch {
	case o.printConfig:
		return o.print(out)
	case len(o.arguments) > 0:
		return o.account(out)
	}
	addresses, err := o.addresses()
	if err != nil {
		return err
	}
	if goOn, err := o.where.Enter(ctx, addresses...); err != nil || !goOn {
		return err
	}
	if err := o.where.Open(); err != nil {
		return err
	}
	defer o.where.Close()
	d, err := open(ctx, o, out)
	if err != nil {
		return err
	}
	return errors.Join(d.serve(ctx), d.close())
}

// account does passwd and token.
func (o *options) account(out io.Writer) error {
	a := o.arguments
	if len(a) != 3 || a[0] != "passwd" && a[0] != "token" {
		return program.Usage("want passwd NAME ROLE or token NAME ROLE, and no more")
	}
	role, err := api.ParseRole(a[2])
	if err != nil {
		return program.Usage("%w", err)
	}
	if err := os.MkdirAll(o.store, 0o700); err != nil {
		return err
	}
	file := filepath.Join(o.store, usersFile)
	if a[0] == "token" {
		token, err := api.NewToken(file, a[1], role)
		if err == nil {
			fmt.Fprintln(out, token)
		}
		return err
	}
	line, err := bufio.NewReader(io.LimitReader(os.Stdin, 1024)).ReadString('\n')
	if err != nil && err != io.EOF {
		return err
	}
	for len(line) > 0 && (line[len(line)-1] == '\n' || line[len(line)-1] == '\r') {
		line = line[:len(line)-1]
	}
	if line == "" {
		return errors.New("the password is empty")
	}
	return api.SetPassword(file, a[1], role, line)
}
