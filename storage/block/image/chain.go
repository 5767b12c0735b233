package image

import (
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"

	"github.com/seed-012105e5/gonet/storage/block"
)

// Named says which files an image may name as backing file or data file, and those
// again. Who makes an image could otherwise have any file of this machine read.
type Named uint8

const (
	InFolder Named = iota // those in the folder of the first image or below, symbolic links followed
	Nowhere               // none
	Anywhere              // all
)

// A closingDevice is a device to be closed.
type closingDevice interface {
	block.Device
	io.Closer
}

// A chain opens an image and what is behind it.
type chain struct {
	config Config
	shared *shared
	folder string        // of the first image, with the separator at its end, or empty if there is none
	root   *os.Root      // the folder, with InFolder
	files  []os.FileInfo // that are open
	images int
}

// OpenFile opens an image and the files that it names. Relative names start at the
// folder of the image that has them. Where an image does not say the format of its
// backing file, the first bytes of that tell, as in QEMU.
func OpenFile(name string, c Config) (*Image, error) {
	c = c.withDefaults()
	ch := &chain{config: c, shared: newShared(c), folder: folderOf(name)}
	if c.Named == InFolder {
		root, err := os.OpenRoot(ch.folder)
		if err != nil {
			return nil, err
		}
		defer root.Close()
		ch.root = root
	}
	info, err := os.Stat(name)
	if err != nil {
		return nil, err
	}
	if err := ch.enter(info); err != nil {
		return nil, err
	}
	f, err := block.OpenFile(name, block.FileConfig{ReadOnly: true})
	if err != nil {
		return nil, err
	}
	i, err := ch.image(f, ch.folder)
	if err != nil {
		return nil, errors.Join(fmt.Errorf("%s: %w", name, err), f.Close())
	}
	return i, nil
}

// folderOf is the folder of the file, with the separator at its end. It is not
// cleaned, as filepath.Dir does: ".." after a symbolic link leads elsewhere.
func folderOf(name string) string {
	if folder, _ := filepath.Split(name); folder != "" {
		return folder
	}
	return "." + string(filepath.Separator)
}

// enter notes a file that is opened. It must not be in the chain already.
func (ch *chain) enter(info os.FileInfo) error {
	mode := info.Mode()
	if !mode.IsRegular() && (mode&os.ModeDevice == 0 || mode&os.ModeCharDevice != 0) {
		return errors.New("neither a regular file nor a block device") // a pipe would be waited for
	}
	for _, f := range ch.files {
		if os.SameFile(f, info) {
			return errors.New("the chain of backing files comes back to it")
		}
	}
	if len(ch.files) >= ch.config.Depth {
		return fmt.Errorf("the chain has more than %d files", ch.config.Depth)
	}
	ch.files = append(ch.files, info)
	return nil
}

// image opens the image on the device and what is behind it. The folder is where its
// relative names start. After an error the device is still the caller's.
func (ch *chain) image(dev block.Device, folder string) (*Image, error) {
	i, err := newImage(dev, ch.shared)
	if err != nil {
		return nil, err
	}
	i.number = ch.images
	ch.images++
	if err := ch.behind(i, folder); err != nil {
		return nil, errors.Join(err, i.Close())
	}
	i.closers = append(i.closers, i.file)
	if i.number == 0 {
		for _, given := range []block.Device{ch.config.Base, ch.config.Data} {
			if c, ok := given.(io.Closer); ok {
				i.closers = append(i.closers, c)
			}
		}
	}
	return i, nil
}

// behind opens the files that the image names, or takes the disks that stand for
// them.
func (ch *chain) behind(i *Image, folder string) (err error) {
	base, data := ch.config.Base, ch.config.Data
	if i.number > 0 {
		base, data = nil, nil
	}
	if base != nil && i.header.Backing == "" {
		return fmt.Errorf("%w: it names no backing file, and a disk is given for it", ErrNamed)
	}
	if data != nil && !i.header.External {
		return fmt.Errorf("%w: it names no data file, and a disk is given for it", ErrNamed)
	}
	if i.header.External {
		i.data, i.dataSize, err = ch.open(i, data, i.header.DataFile, "raw", folder)
		if err != nil {
			return fmt.Errorf("%w: the data file %q: %w", ErrNamed, i.header.DataFile, err)
		}
	}
	if i.header.Backing != "" {
		i.base, i.baseSize, err = ch.open(i, base, i.header.Backing, i.header.BackingFormat, folder)
		if err != nil {
			return fmt.Errorf("%w: the backing file %q: %w", ErrNamed, i.header.Backing, err)
		}
	}
	return nil
}

// open makes a disk of the device that is given, or else of the file of that name,
// which the image then closes.
func (ch *chain) open(i *Image, given block.Device, name, format, folder string) (d *block.Disk, size int64, err error) {
	dev := given
	if dev == nil {
		f, err := ch.named(name, format, folder)
		if err != nil {
			return nil, 0, err
		}
		i.closers = append(i.closers, f)
		dev = f
	}
	if d, err = block.NewDisk(dev); err != nil {
		return nil, 0, err
	}
	size, err = d.Size()
	return d, size, err
}

// named opens a file that an image names.
func (ch *chain) named(name, format, folder string) (closingDevice, error) {
	switch {
	case name == "":
		return nil, errors.New("there is no name")
	case ch.config.Named == Nowhere:
		return nil, errors.New("images may name no files")
	case ch.folder == "":
		return nil, errors.New("the image is in no folder; give the disk")
	case format != "" && format != "raw" && format != "qcow2":
		return nil, fmt.Errorf("the format %q: %w", format, ErrFeature)
	}
	name = strings.TrimPrefix(name, "file:")
	if at := strings.IndexByte(name, ':'); at > 1 && !strings.ContainsAny(name[:at], `/\`) {
		return nil, fmt.Errorf("the protocol %q: %w", name[:at], ErrFeature)
	}
	if !filepath.IsAbs(name) {
		name = folder + name
	}
	f, err := ch.openNamed(name)
	if err != nil {
		return nil, err
	}
	if format == "" {
		b := make([]byte, 8)
		if n, err := f.ReadAt(b, 0); n == len(b) && err == nil && isImage(b) {
			format = "qcow2"
		}
	}
	if format != "qcow2" {
		return f, nil
	}
	i, err := ch.image(f, folderOf(name))
	if err != nil {
		return nil, errors.Join(err, f.Close())
	}
	return i, nil
}

// openNamed opens the file if images may name it.
func (ch *chain) openNamed(name string) (*block.File, error) {
	if ch.root == nil {
		info, err := os.Stat(name)
		if err == nil {
			err = ch.enter(info)
		}
		if err != nil {
			return nil, err
		}
		return block.OpenFile(name, block.FileConfig{ReadOnly: true})
	}
	name, err := ch.inFolder(name)
	if err != nil {
		return nil, err
	}
	info, err := ch.root.Stat(name)
	if err == nil {
		err = ch.enter(info)
	}
	if err != nil {
		return nil, err
	}
	f, err := ch.root.Open(name)
	if err != nil {
		return nil, err
	}
	d, err := block.NewFile(f, block.FileConfig{ReadOnly: true})
	if err != nil {
		return nil, errors.Join(err, f.Close())
	}
	return d, nil
}

// inFolder makes the name relative to the folder of the first image. The root sees to
// it that no ".." or symbolic link leads out of it.
func (ch *chain) inFolder(name string) (string, error) {
	if rest, ok := strings.CutPrefix(name, ch.folder); ok {
		return rest, nil
	}
	folder, err := filepath.Abs(ch.folder)
	if err != nil {
		return "", err
	}
	separator := string(filepath.Separator)
	if rest, ok := strings.CutPrefix(name, strings.TrimSuffix(folder, separator)+separator); ok {
		return rest, nil
	}
	return "", fmt.Errorf("it is not in the folder of the image, %s, and may not be named: %w", folder, os.ErrPermission)
}

var (
	_ block.ContextDevice       = (*Image)(nil)
	_ block.ContextExtentLister = (*Image)(nil)
	_ io.Closer                 = (*Image)(nil)
)
