package main

import (
	"context"
	"fmt"
	"net"

	"github.com/seed-012105e5/gonet/storage/drive"
	"github.com/seed-012105e5/gonet/storage/iscsi"
	"github.com/seed-012105e5/gonet/storage/nbd"
	"github.com/seed-012105e5/gonet/storage/usb"
	"github.com/seed-012105e5/gonet/storage/usb/gadget"
	"github.com/seed-012105e5/gonet/storage/usb/usbip"
	"github.com/seed-012105e5/gonet/storage/usb/usbredir"
)

// openDoors opens the ways by which machines see the drives, and the drives. The lines say
// where they are.
func (d *daemon) openDoors(ctx context.Context) (lines []string, err error) {
	for _, open := range []func(context.Context) ([]string, error){d.openNBD, d.openISCSI, d.openUSBIP, d.openGadget} {
		more, err := open(ctx)
		if err != nil {
			return nil, err
		}
		lines = append(lines, more...)
	}
	for i, name := range d.options.drives {
		more, err := d.addDrive(ctx, i, name)
		if err != nil {
			return nil, fmt.Errorf("drive %s: %w", name, err)
		}
		lines = append(lines, more...)
	}
	return lines, nil
}

func (d *daemon) openNBD(ctx context.Context) (lines []string, err error) {
	if d.options.nbd == "" {
		return nil, nil
	}
	d.nbd = &nbd.Server{}
	at, err := d.listen(ctx, d.options.nbd, d.nbd.Serve)
	if err != nil {
		return nil, fmt.Errorf("-nbd: %w", err)
	}
	for _, name := range d.options.drives {
		lines = append(lines, fmt.Sprintf("nbd://%s/%s", at, name))
	}
	return lines, nil
}

func (d *daemon) openISCSI(ctx context.Context) (lines []string, err error) {
	o := d.options
	if o.iscsi == "" {
		return nil, nil
	}
	d.iscsi = &iscsi.Server{}
	at, err := d.listen(ctx, o.iscsi, func(l net.Listener) error {
		var portal iscsi.Portal
		if o.where.Rootless() { // initiators are told where it is outside
			portal.Address = o.where.Host(l.Addr())
		}
		return d.iscsi.ServePortal(l, portal)
	})
	if err != nil {
		return nil, fmt.Errorf("-iscsi: %w", err)
	}
	for _, name := range o.drives {
		lines = append(lines, fmt.Sprintf("iscsi://%s/%s/0", at, d.target(name)))
	}
	return lines, nil
}

// target is the name of a drive's target.
func (d *daemon) target(drive string) string { return d.options.iscsiName + ":" + drive }

func (d *daemon) openUSBIP(ctx context.Context) (lines []string, err error) {
	if d.options.usbip == "" {
		return nil, nil
	}
	d.usbip = &usbip.Server{ErrorLog: d.peerError("usbip")}
	at, err := d.listen(ctx, d.options.usbip, d.usbip.Serve)
	if err != nil {
		return nil, fmt.Errorf("-usbip: %w", err)
	}
	for i := range d.options.drives {
		lines = append(lines, fmt.Sprintf("usbip at %s, bus ID %s", at, busID(i)))
	}
	return lines, nil
}

// busID is the bus ID of a drive's USB device.
func busID(drive int) string { return fmt.Sprintf("1-%d", drive+1) }

// peerError logs what ends connections.
func (d *daemon) peerError(door string) func(net.Addr, error) {
	return func(remote net.Addr, err error) { d.log.Info(door, "peer", remote, "err", err) }
}

// gadgetName is that of the gadget in configfs.
const gadgetName = "gonet-drive"

// openGadget makes a gadget whose units are the drives, or finds the one that a program
// has left which was killed: its host uses the media still.
func (d *daemon) openGadget(context.Context) (lines []string, err error) {
	o := d.options
	if o.gadget == "" {
		return nil, nil
	}
	c := gadget.Config{Name: gadgetName, Product: "Drive"}
	for range o.drives {
		c.LUNs = append(c.LUNs, gadget.LUN{Removable: true, Inquiry: o.gadgetInquiry})
	}
	var created bool
	if d.gadget, created, err = gadget.Resume(c); err != nil {
		return nil, fmt.Errorf("-gadget: %w", err)
	}
	d.resumed = !created
	controller, err := d.gadget.Controller()
	if err == nil && (controller == "" || o.gadget != "auto" && controller != o.gadget) {
		if err = d.gadget.Unbind(); err == nil {
			name := o.gadget
			if name == "auto" {
				name = ""
			}
			err = d.gadget.Bind(name)
		}
	}
	if err == nil {
		controller, err = d.gadget.Controller()
	}
	if err != nil {
		return nil, fmt.Errorf("-gadget: %w", err)
	}
	for i := range o.drives {
		lines = append(lines, fmt.Sprintf("gadget %s of %s, unit %d", gadgetName, controller, i))
	}
	return lines, nil
}

// addDrive makes a drive that all doors show. Those with locks come first.
func (d *daemon) addDrive(ctx context.Context, i int, name string) (lines []string, err error) {
	var doors []drive.Backend
	if d.gadget != nil {
		b := drive.NewGadget(d.gadget, i)
		b.NoFUA, b.Resumed = d.options.gadgetNoFUA, d.resumed
		doors = append(doors, b)
	}
	if d.iscsi != nil {
		target, err := d.iscsi.Add(iscsi.Target{Name: d.target(name)})
		if err != nil {
			return nil, err
		}
		lun, err := drive.NewLUN(target, 0, drive.LUNConfig{Serial: name})
		if err != nil {
			return nil, err
		}
		doors = append(doors, lun)
	}
	if d.usbip != nil {
		b, err := newUSB(i, name, func(*usb.Device) { d.usbip.Unplug(busID(i)) })
		if err != nil {
			return nil, err
		}
		if err := d.usbip.Add(busID(i), b.Device()); err != nil {
			return nil, err
		}
		doors = append(doors, b)
	}
	if d.options.usbredir != "" {
		b, at, err := d.addRedirection(ctx, i, name)
		if err != nil {
			return nil, fmt.Errorf("-usbredir: %w", err)
		}
		doors = append(doors, b)
		lines = append(lines, fmt.Sprintf("usbredir at %s, drive %s", at, name))
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
		return nil, err
	}
	d.drives = append(d.drives, v)
	return lines, nil
}

func newUSB(i int, name string, unplug func(*usb.Device)) (*drive.USB, error) {
	c := usb.Config{Serial: fmt.Sprintf("%012X", i+1), Product: "Drive " + name}
	return drive.NewUSB(c, drive.LUNConfig{Serial: name}, unplug)
}

// addRedirection offers a drive by usbredir.
func (d *daemon) addRedirection(ctx context.Context, i int, name string) (b *drive.USB, at string, err error) {
	s := &usbredir.Server{ErrorLog: d.peerError("usbredir")}
	if b, err = newUSB(i, name, func(*usb.Device) { s.Unplug() }); err != nil {
		return nil, "", err
	}
	s.Device = b.Device()
	address, err := d.options.redirAddress(i)
	if err != nil {
		return nil, "", err
	}
	if at, err = d.listen(ctx, address, s.Serve); err != nil {
		return nil, "", err
	}
	d.redirs = append(d.redirs, s)
	return b, at, nil
}
