package main

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/seed-012105e5/gonet/storage/block"
	"github.com/seed-012105e5/gonet/storage/block/s3"
	"github.com/seed-012105e5/gonet/storage/block/spec"
	"github.com/seed-012105e5/gonet/storage/drive"
	"github.com/seed-012105e5/gonet/storage/drive/api"
	"github.com/seed-012105e5/gonet/storage/drive/imagestore"
	"github.com/seed-012105e5/gonet/storage/iscsi"
	"github.com/seed-012105e5/gonet/storage/nbd"
	"github.com/seed-012105e5/gonet/storage/usb"
	"github.com/seed-012105e5/gonet/storage/usb/usbip"
)

// Files in the store that are no images.
const (
	usersFile = "users"
	tlsFile   = "tls.pem"
)

// grace is how long calls may take when the program is to end.
const grace = 5 * time.Second

// A daemon is what the program runs. It is closed in the opposite order.
type daemon struct {
	options *options
	out     io.Writer
	log     *slog.Logger
	store   *imagestore.Store
	drives  []*drive.Drive
	api     *api.Server
	web     *http.Server
	nbd     *nbd.Server
	iscsi   *iscsi.Server
	usbip   *usbip.Server
	serving []func() error
}

// open opens all and listens.
func open(ctx context.Context, o *options, out io.Writer) (d *daemon, err error) {
	level := slog.LevelInfo
	if o.verbose {
		level = slog.LevelDebug
	}
	d = &daemon{options: o, out: out, log: slog.New(slog.NewTextHandler(os.Stderr, &slog.HandlerOptions{Level: level}))}
	defer func() {
		if err != nil {
			err = errors.Join(err, d.close())
		}
	}()
	d.store, err = imagestore.Open(imagestore.Config{Dir: o.store, Quota: int64(o.quota), SyncEvery: int64(o.syncEvery), Static: o.static, Log: d.log})
	if err != nil {
		return d, err
	}
	lines, err := d.openDoors(ctx)
	if err != nil {
		return d, err
	}
	users, err := d.openAPI(ctx)
	if err != nil {
		return d, err
	}
	for _, line := range append(users, lines...) {
		fmt.Fprintln(out, line)
	}
	return d, nil
}

// openDoors opens the ways by which machines see the drives, and the drives. The lines say
// where they are.
func (d *daemon) openDoors(ctx context.Context) (lines []string, err error) {
	o := d.options
	if o.nbd != "" {
		d.nbd = &nbd.Server{}
		at, err := d.listen(ctx, o.nbd, d.nbd.Serve)
		if err != nil {
			return nil, fmt.Errorf("-nbd: %w", err)
		}
		for _, name := range o.drives {
			lines = append(lines, fmt.Sprintf("nbd://%s/%s", at, name))
		}
	}
	if o.iscsi != "" {
		d.iscsi = &iscsi.Server{}
		at, err := d.listen(ctx, o.iscsi, d.iscsi.Serve)
		if err != nil {
			return nil, fmt.Errorf("-iscsi: %w", err)
		}
		for _, name := range o.drives {
			lines = append(lines, fmt.Sprintf("iscsi://%s/%s:%s/0", at, o.iscsiName, name))
		}
	}
	if o.usbip != "" {
		d.usbip = &usbip.Server{}
		at, err := d.listen(ctx, o.usbip, d.usbip.Serve)
		if err != nil {
			return nil, fmt.Errorf("-usbip: %w", err)
		}
		for i := range o.drives {
			lines = append(lines, fmt.Sprintf("usbip at %s, bus ID %s", at, busID(i)))
		}
	}
	for i, name := range o.drives {
		if err := d.addDrive(i, name); err != nil {
			return nil, fmt.Errorf("drive %s: %w", name, err)
		}
	}
	return lines, nil
}

// busID is the bus ID of a drive's USB device.
func busID(drive int) string { return fmt.Sprintf("1-%d", drive+1) }

func (d *daemon) addDrive(i int, name string) error {
	var doors []drive.Backend
	if d.iscsi != nil {
		target, err := d.iscsi.Add(iscsi.Target{Name: d.options.iscsiName + ":" + name})
		if err != nil {
			return err
		}
		lun, err := drive.NewLUN(target, 0, drive.LUNConfig{Serial: name})
		if err != nil {
			return err
		}
		doors = append(doors, lun)
	}
	if d.usbip != nil {
		c := usb.Config{Serial: fmt.Sprintf("%012X", i+1), Product: "Drive " + name}
		device, err := drive.NewUSB(c, drive.LUNConfig{Serial: name}, func(*usb.Device) { d.usbip.Unplug(busID(i)) })
		if err != nil {
			return err
		}
		if err := d.usbip.Add(busID(i), device.Device()); err != nil {
			return err
		}
		doors = append(doors, device)
	}
	if d.nbd != nil {
		doors = append(doors, drive.NewNBD(d.nbd, name))
	}
	c := drive.Config{Name: name, Store: d.store, Backend: drive.Several(doors...), Log: d.log}
	if d.options.remote {
		c.OpenRemote = d.openRemote
	}
	v, err := drive.New(c)
	if err != nil {
		return err
	}
	d.drives = append(d.drives, v)
	return nil
}

// openRemote opens an image by its URL. Of its parameters there are none that matter here.
func (d *daemon) openRemote(ctx context.Context, address string, _ map[string]string) (*block.Disk, error) {
	u, err := url.Parse(address)
	if err != nil {
		return nil, err
	}
	fetch := d.fetch()
	client := fetch.Client(false, 10*time.Second)
	kinds := spec.Builtin().With(spec.HTTPKind("http", client), spec.HTTPKind("https", client), s3.Kind(fetch.Dial))
	switch u.Scheme {
	case "http", "https", "s3":
		return kinds.Open(ctx, address)
	case "nbd":
		dialer := nbd.Dialer{DialContext: fetch.Dial}
		c, err := dialer.Dial(ctx, address)
		if err != nil {
			return nil, err
		}
		return block.NewDisk(c)
	}
	return nil, fmt.Errorf("no image can be at a URL of %s: want http, https, s3 or nbd", u.Scheme)
}

func (d *daemon) fetch() *api.Fetch {
	f := &api.Fetch{Private: d.options.fetchPrivate}
	if d.options.where.OnStack() {
		f.DialContext = d.options.where.DialContext
	}
	return f
}

// openAPI opens the API. The lines say where it is, and who may use it.
func (d *daemon) openAPI(ctx context.Context) (lines []string, err error) {
	o := d.options
	var auth *api.Auth
	if o.users == "on" {
		users, password, err := api.LoadUsers(filepath.Join(o.store, usersFile))
		if err != nil {
			return nil, err
		}
		auth = api.NewAuth(users)
		if password != "" {
			lines = append(lines, "user admin, password "+password+" (shown only now)")
		}
	}
	d.api, err = api.New(api.Config{Store: d.store, Drives: d.drives, Auth: auth, Fetch: *d.fetch(), Log: d.log, Idle: o.idle})
	if err != nil {
		return nil, err
	}
	d.web = &http.Server{
		Handler: d.api, ReadHeaderTimeout: 10 * time.Second, IdleTimeout: 2 * time.Minute, MaxHeaderBytes: 64 << 10,
		ErrorLog: slog.NewLogLogger(d.log.Handler(), slog.LevelDebug),
	}
	scheme, serve := "http", d.web.Serve
	if o.tls != "off" {
		c, err := d.certificate()
		if err != nil {
			return nil, err
		}
		// HTTP/1.1 only: uploads are faster, and WebSockets need it.
		d.web.TLSConfig = &tls.Config{Certificates: []tls.Certificate{c}, MinVersion: tls.VersionTLS12, NextProtos: []string{"http/1.1"}}
		d.web.Protocols = new(http.Protocols)
		d.web.Protocols.SetHTTP1(true)
		scheme, serve = "https", func(l net.Listener) error { return d.web.ServeTLS(l, "", "") }
		lines = append(lines, "certificate SHA-256 "+api.Fingerprint(c))
	}
	at, err := d.listen(ctx, o.listen, serve)
	if err != nil {
		return nil, fmt.Errorf("-listen: %w", err)
	}
	return append([]string{scheme + "://" + at + "/"}, lines...), nil
}

func (d *daemon) certificate() (tls.Certificate, error) {
	if d.options.tls != "self" {
		cert, key, _ := strings.Cut(d.options.tls, ",")
		return tls.LoadX509KeyPair(cert, key)
	}
	host, _, _ := net.SplitHostPort(d.options.listen)
	name, _ := os.Hostname()
	return api.SelfSigned(filepath.Join(d.options.store, tlsFile), []string{host, name})
}

// listen has what comes at an address be served, once all is open.
func (d *daemon) listen(ctx context.Context, address string, serve func(net.Listener) error) (string, error) {
	l, err := d.options.where.Listen(ctx, address)
	if err != nil {
		return "", err
	}
	d.serving = append(d.serving, func() error { return serve(l) })
	return d.options.where.Host(l.Addr()), nil
}

// serve serves until the context ends or something fails.
func (d *daemon) serve(ctx context.Context) error {
	failed := make(chan error, len(d.serving))
	for _, s := range d.serving {
		go func() { failed <- s() }()
	}
	select {
	case <-ctx.Done():
		return nil
	case err := <-failed:
		return err
	}
}

// close ends calls, then drives, then what machines are connected to, then the store.
func (d *daemon) close() error {
	late, cancel := context.WithTimeout(context.Background(), grace)
	defer cancel()
	if d.api != nil {
		d.api.Close()
	}
	if d.web != nil && d.web.Shutdown(late) != nil {
		d.web.Close()
	}
	var errs []error
	for _, v := range d.drives {
		errs = append(errs, v.Close())
	}
	if d.iscsi != nil {
		d.iscsi.Shutdown(late)
	}
	if d.usbip != nil {
		d.usbip.Close()
	}
	if d.nbd != nil {
		d.nbd.Shutdown(late)
	}
	if d.store != nil {
		errs = append(errs, d.store.Close())
	}
	return errors.Join(errs...)
}
