// Package gadget makes this machine's own USB port a mass-storage device, by the
// gadget drivers of Linux and configfs (Documentation/usb/gadget_configfs.rst and
// mass-storage.rst of the kernel): what is inserted is a file, or a block device, that
// the kernel reads by itself.
//
//	g, err := gadget.Create(gadget.Config{Name: "drive", LUNs: []gadget.LUN{{Removable: true}}})
//	err = g.Bind("")                                        // the first controller that is free
//	err = g.Insert(0, gadget.Medium{File: "debian.iso", CDROM: true})
//	err = g.Eject(0, false)                                 // ErrLocked if the host holds it
//	err = g.Remove()
//
// It needs root, the module usb_f_mass_storage, and a device controller: /sys/class/udc
// lists them. dummy_hcd is one whose host is the same machine.
//
// The state is the kernel's: a program that has died finds its gadget again by [Open] or
// [Resume], and what the host has ejected State tells. Two programs must not use one gadget
// at the same time.
package gadget

import (
	"cmp"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
)

// Errors that callers tell apart. Want of permissions is fs.ErrPermission.
var (
	// ErrLocked is that the host has locked the medium: it is open there. Only a forced
	// eject takes it out.
	ErrLocked = errors.New("gadget: the host has locked the medium")
	// ErrOccupied is that there is a medium.
	ErrOccupied = errors.New("gadget: there is a medium in the drive")
	// ErrBusy is that something else is in use: a controller that has another gadget,
	// or a file of a gadget that cannot be changed now.
	ErrBusy = errors.New("gadget: in use")
	// ErrExists is that there is a gadget of the name.
	ErrExists = errors.New("gadget: there is a gadget of the name")
	// ErrNoController is that there is no device controller, or none of the name.
	ErrNoController = errors.New("gadget: there is no USB device controller")
	// ErrUnsupported is that the kernel has no gadgets: configfs is not mounted, or
	// modules are missing.
	ErrUnsupported = errors.New("gadget: the kernel has no gadgets, or configfs is not mounted")
)

// Config says what a gadget is. Zero values mean what is said.
type Config struct {
	Name string // of its directory; without a slash

	VendorID, ProductID uint16 // 0x1d6b and 0x0104
	Manufacturer        string // "GoNet"
	Product             string // "Mass Storage"
	Serial              string // "000000000001"

	// Stall lets the function halt endpoints: false is what all controllers can do.
	Stall bool
	// LUNs are its units, at least one and at most 8.
	LUNs []LUN

	Root        string // "/sys/kernel/config/usb_gadget"
	Controllers string // "/sys/class/udc"
}

// LUN says what a unit is, whatever medium it has.
type LUN struct {
	Removable bool
	// Inquiry is vendor, product and version as INQUIRY tells them: 8, 16 and 4
	// characters. The kernel's if it is empty.
	Inquiry string
}

// Medium is what a unit has.
type Medium struct {
	File     string // a regular file, or a block device
	CDROM    bool
	ReadOnly bool // a CD-ROM always is
	// NoFUA has the kernel ignore FUA, for which it syncs the file otherwise.
	NoFUA bool
}

// A Gadget is a gadget of the kernel's. Its methods may be called at any time.
type Gadget struct {
	dir         string
	controllers string
	turn        chan struct{} // held by who uses what is in dir
}

func newGadget(c *Config) *Gadget {
	return &Gadget{filepath.Join(c.Root, c.Name), c.Controllers, make(chan struct{}, 1)}
}

// take is the beginning of a method; what it returns is its end.
func (g *Gadget) take() (done func()) {
	g.turn <- struct{}{}
	return func() { <-g.turn }
}

const (
	function = "functions/mass_storage.0"
	profile  = "configs/c.1"
)

func (c *Config) withDefaults() error {
	c.VendorID, c.ProductID = cmp.Or(c.VendorID, 0x1d6b), cmp.Or(c.ProductID, 0x0104)
	c.Manufacturer, c.Product = cmp.Or(c.Manufacturer, "GoNet"), cmp.Or(c.Product, "Mass Storage")
	c.Serial = cmp.Or(c.Serial, "000000000001")
	c.Root, c.Controllers = cmp.Or(c.Root, "/sys/kernel/config/usb_gadget"), cmp.Or(c.Controllers, "/sys/class/udc")
	switch {
	case !validName(c.Name):
		return fmt.Errorf("gadget: %q is no name of a gadget", c.Name)
	case len(c.LUNs) == 0 || len(c.LUNs) > 8:
		return fmt.Errorf("gadget: %d units; there may be 1 to 8", len(c.LUNs))
	}
	for i, l := range c.LUNs {
		if len(l.Inquiry) > 28 || strings.ContainsFunc(l.Inquiry, func(r rune) bool { return r < ' ' || r > '~' }) {
			return fmt.Errorf("gadget: unit %d: the inquiry string %q is longer than 28 characters, or not ASCII", i, l.Inquiry)
		}
	}
	return nil
}

func validName(name string) bool {
	return name != "" && name != "." && name != ".." && len(name) < 64 && !strings.ContainsAny(name, "/\x00\n")
}

// Create makes a gadget, which no controller has yet. One of the name that is there
// already it leaves alone, and fails with ErrExists.
func Create(c Config) (*Gadget, error) {
	if err := c.withDefaults(); err != nil {
		return nil, err
	}
	if _, err := os.Stat(c.Root); errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("%w: no %s", ErrUnsupported, c.Root)
	}
	g := newGadget(&c)
	if err := os.Mkdir(g.dir, 0o755); err != nil {
		if errors.Is(err, fs.ErrExist) {
			return nil, fmt.Errorf("%w: %s", ErrExists, c.Name)
		}
		return nil, explain(err)
	}
	if err := g.fill(&c); err != nil {
		return nil, errors.Join(err, g.Remove())
	}
	return g, nil
}

// fill makes what a gadget consists of.
func (g *Gadget) fill(c *Config) error {
	for _, dir := range []string{"strings/0x409", profile, profile + "/strings/0x409", function} {
		if err := os.MkdirAll(filepath.Join(g.dir, dir), 0o755); err != nil {
			if errors.Is(err, fs.ErrNotExist) && dir == function {
				err = ErrUnsupported
			}
			return explain(err)
		}
	}
	type attribute struct{ name, value string }
	all := []attribute{
		{"idVendor", fmt.Sprintf("%#04x", c.VendorID)}, {"idProduct", fmt.Sprintf("%#04x", c.ProductID)}, {"bcdUSB", "0x0200"},
		{"strings/0x409/manufacturer", c.Manufacturer}, {"strings/0x409/product", c.Product}, {"strings/0x409/serialnumber", c.Serial},
		{profile + "/strings/0x409/configuration", "Mass Storage"}, {profile + "/MaxPower", "250"},
		{function + "/stall", flag(c.Stall)},
	}
	for i, l := range c.LUNs {
		unit := lun(i)
		if i > 0 { // the first is there
			if err := os.Mkdir(filepath.Join(g.dir, unit), 0o755); err != nil {
				return explain(err)
			}
		}
		all = append(all, attribute{unit + "/removable", flag(l.Removable)})
		if l.Inquiry != "" {
			all = append(all, attribute{unit + "/inquiry_string", l.Inquiry})
		}
	}
	for _, a := range all {
		if err := g.write(a.name, a.value); err != nil {
			return err
		}
	}
	return explain(os.Symlink(filepath.Join(g.dir, function), filepath.Join(g.dir, profile, filepath.Base(function))))
}

// Open finds a gadget that Create has made, by another process perhaps. Of c the name
// and the directories count.
func Open(c Config) (*Gadget, error) {
	c.LUNs = make([]LUN, 1)
	if err := c.withDefaults(); err != nil {
		return nil, err
	}
	g := newGadget(&c)
	if _, err := os.Stat(filepath.Join(g.dir, function)); err != nil {
		return nil, explain(err)
	}
	return g, nil
}

// Resume finds the gadget of a program that has died, with the media that its units have,
// and otherwise creates it, as it does when the one that is there has other units. Created
// tells which; a gadget that was found may be without a controller, too.
func Resume(c Config) (g *Gadget, created bool, err error) {
	if g, err = Open(c); err == nil {
		if g.is(c.LUNs) {
			return g, false, nil
		}
		if err := g.Remove(); err != nil {
			return nil, false, err
		}
	}
	g, err = Create(c)
	return g, true, err
}

// is says whether the units are these.
func (g *Gadget) is(units []LUN) bool {
	if len(g.units()) != len(units) {
		return false
	}
	for i, want := range units {
		removable, err := g.read(lun(i) + "/removable")
		if err != nil || removable != flag(want.Removable) {
			return false
		}
		// The kernel keeps vendor, product and version apart by spaces.
		inquiry, err := g.read(lun(i) + "/inquiry_string")
		if err != nil || want.Inquiry != "" && strings.TrimRight(inquiry, " ") != strings.TrimRight(want.Inquiry, " ") {
			return false
		}
	}
	return true
}

// units are the directories of the units.
func (g *Gadget) units() []string {
	all, _ := filepath.Glob(filepath.Join(g.dir, function, "lun.*"))
	return all
}

// Bind gives the gadget to a controller, whose host then sees it; without a name to the
// first that is free.
func (g *Gadget) Bind(controller string) error {
	defer g.take()()
	if controller != "" {
		if _, err := os.Stat(filepath.Join(g.controllers, controller)); err != nil || !validName(controller) {
			return fmt.Errorf("%w of the name %q", ErrNoController, controller)
		}
		return g.write("UDC", controller)
	}
	all, err := os.ReadDir(g.controllers)
	if err != nil || len(all) == 0 {
		return ErrNoController
	}
	for _, e := range all {
		if err = g.write("UDC", e.Name()); !errors.Is(err, ErrBusy) {
			return err
		}
	}
	return err
}

// Unbind takes the gadget away from its controller: the host sees it unplugged.
func (g *Gadget) Unbind() error {
	defer g.take()()
	return g.unbind()
}

func (g *Gadget) unbind() error {
	if c, err := g.controller(); err != nil || c == "" {
		return err
	}
	return g.write("UDC", "")
}

// Controller is the one that has the gadget, or empty.
func (g *Gadget) Controller() (string, error) {
	defer g.take()()
	return g.controller()
}

func (g *Gadget) controller() (string, error) { return g.read("UDC") }

// Insert puts a medium into a unit that has none. A host sees whether a unit is a disk
// or a CD-ROM only when it finds the device: if that changes, the gadget is unbound and
// bound again, and the host sees it unplugged and plugged in. While another unit has a
// medium, which would vanish with it, that fails with ErrBusy.
func (g *Gadget) Insert(unit int, m Medium) error {
	defer g.take()()
	was, err := g.state(unit)
	switch {
	case err != nil:
		return err
	case was.File != "":
		return fmt.Errorf("%w: %s", ErrOccupied, was.File)
	case m.File == "":
		return errors.New("gadget: a medium without a file")
	}
	file, err := filepath.Abs(m.File)
	if err != nil {
		return err
	}
	if strings.Contains(file, "\n") {
		return fmt.Errorf("gadget: the name %q of a medium has a new line", file)
	}
	if _, err := os.Stat(file); err != nil {
		return err
	}
	if m.CDROM == was.CDROM {
		return g.insert(lun(unit), file, m)
	}
	controller, err := g.controller()
	if err != nil || controller == "" {
		return cmp.Or(err, g.insert(lun(unit), file, m))
	}
	for i := range g.units() {
		if other, err := g.state(i); i != unit && err == nil && other.File != "" {
			return fmt.Errorf("%w: a change between disk and CD-ROM unplugs all units, and unit %d has %s", ErrBusy, i, other.File)
		}
	}
	if err := g.unbind(); err != nil {
		return err
	}
	return errors.Join(g.insert(lun(unit), file, m), g.write("UDC", controller))
}

// insert gives a unit its attributes, in an order in which the kernel takes them.
func (g *Gadget) insert(dir, file string, m Medium) error {
	for _, a := range []struct{ name, value string }{
		{"/cdrom", flag(m.CDROM)}, {"/ro", flag(m.ReadOnly || m.CDROM)}, {"/nofua", flag(m.NoFUA)}, {"/file", file},
	} {
		if err := g.write(dir+a.name, a.value); err != nil {
			return err
		}
	}
	return nil
}

// Eject takes the medium out, if there is one. It fails with ErrLocked if the host holds
// it, unless it is forced.
func (g *Gadget) Eject(unit int, force bool) error {
	defer g.take()()
	dir := lun(unit)
	if force {
		return g.write(dir+"/forced_eject", "1")
	}
	err := g.write(dir+"/file", "")
	if errors.Is(err, ErrBusy) {
		return ErrLocked
	}
	return err
}

// State is what a unit has; without a File, nothing. A host that ejects a medium empties
// the unit, too.
func (g *Gadget) State(unit int) (Medium, error) {
	defer g.take()()
	return g.state(unit)
}

func (g *Gadget) state(unit int) (m Medium, err error) {
	dir := lun(unit)
	if m.File, err = g.read(dir + "/file"); err != nil {
		return Medium{}, err
	}
	for name, to := range map[string]*bool{"cdrom": &m.CDROM, "ro": &m.ReadOnly, "nofua": &m.NoFUA} {
		text, err := g.read(dir + "/" + name)
		if err != nil {
			return Medium{}, err
		}
		*to = text == "1"
	}
	return m, nil
}

// Remove takes the gadget away, from its controller and from the kernel.
func (g *Gadget) Remove() error {
	defer g.take()()
	if err := g.unbind(); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	all := []string{filepath.Join(g.dir, profile, filepath.Base(function))}
	for _, unit := range g.units() {
		if filepath.Base(unit) != "lun.0" { // which goes with the function
			all = append(all, unit)
		}
	}
	for _, name := range []string{function, profile + "/strings/0x409", profile, "strings/0x409", ""} {
		all = append(all, filepath.Join(g.dir, name))
	}
	for _, name := range all {
		if err := remove(name); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return explain(err)
		}
	}
	return nil
}

// remove removes a link or a directory, of which configfs takes away the files.
func remove(name string) error {
	info, err := os.Lstat(name)
	if err != nil {
		return err
	}
	if !info.IsDir() {
		return os.Remove(name)
	}
	if err := syscall.Rmdir(name); err != nil {
		return &fs.PathError{Op: "rmdir", Path: name, Err: err}
	}
	return nil
}

func lun(n int) string { return function + "/lun." + strconv.Itoa(n) }

func flag(b bool) string {
	if b {
		return "1"
	}
	return "0"
}

// write gives an attribute a value. Nothing is written by a line that is empty.
func (g *Gadget) write(name, value string) error {
	f, err := os.OpenFile(filepath.Join(g.dir, name), os.O_WRONLY, 0)
	if err != nil {
		return explain(err)
	}
	_, err = f.WriteString(value + "\n")
	return explain(cmp.Or(err, f.Close()))
}

func (g *Gadget) read(name string) (string, error) {
	p, err := os.ReadFile(filepath.Join(g.dir, name))
	if err != nil {
		return "", explain(err)
	}
	return strings.TrimRight(string(p), "\n"), nil
}

// explain has errors tell apart what the kernel means.
func explain(err error) error {
	switch {
	case errors.Is(err, syscall.EBUSY):
		return fmt.Errorf("%w: %w", ErrBusy, err)
	case errors.Is(err, syscall.ENODEV):
		return fmt.Errorf("%w: %w", ErrNoController, err)
	}
	return err
}
