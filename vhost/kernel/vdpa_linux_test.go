package kernel_test

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"os"
	"os/exec"
	"time"

	"github.com/seed-012105e5/gonet/internal/netlink"
	"github.com/seed-012105e5/gonet/internal/testing/guest"
	"github.com/seed-012105e5/gonet/vhost/kernel"
	"github.com/seed-012105e5/gonet/vhost/virtqueue"
)

const (
	featureAccessPlatform = 1 << 33 // the device has a translation of addresses
	typeBlock             = 2

	vdpaDisk = "/tmp/vdpa.img"
	vdpaLen  = 16 << 20
)

// makeVDPA has a process serve a disk to the kernel by VDUSE, which makes it a device of
// vDPA.
func makeVDPA(in *guest.Inside) (stop func(), err error) {
	if err := os.WriteFile(vdpaDisk, make([]byte, vdpaLen), 0o600); err != nil {
		return nil, err
	}
	daemon := exec.Command("qemu-storage-daemon", "--blockdev", "driver=file,node-name=f0,filename="+vdpaDisk,
		"--export", "type=vduse-blk,id=e0,node-name=f0,name=disk0,writable=on,num-queues=2")
	var said bytes.Buffer
	daemon.Stderr = &said
	if err := daemon.Start(); err != nil {
		return nil, err
	}
	ended := make(chan error, 1)
	go func() { ended <- daemon.Wait() }()
	stop = func() { daemon.Process.Kill(); <-ended }
	family, err := netlink.DialGeneric("vdpa")
	if err != nil {
		stop()
		return nil, err
	}
	defer family.Close()
	err = in.Await(time.Minute, func() bool {
		const newDevice, managementName, deviceName = 3, 2, 4 // linux/vdpa.h
		_, _, err = family.Do(newDevice, 1, netlink.Attributes{}.String(managementName, "vduse").String(deviceName, "disk0"))
		return err == nil
	})
	if err == nil {
		err = in.Await(time.Minute, func() bool { _, err := os.Stat("/dev/vhost-vdpa-0"); return err == nil })
	}
	if err != nil {
		stop()
		return nil, fmt.Errorf("no device of vDPA: %w; the daemon: %s", err, said.String())
	}
	return stop, nil
}

// useVDPA writes and reads that disk as its driver, and does so again after a reset.
func useVDPA(in *guest.Inside) error {
	stop, err := makeVDPA(in)
	if err != nil {
		return err
	}
	defer stop()
	d, err := kernel.OpenVDPA("/dev/vhost-vdpa-0")
	if err != nil {
		return err
	}
	defer d.Close()
	if id, err := d.DeviceID(); err != nil || id != typeBlock {
		return fmt.Errorf("a device of type %d, %v", id, err)
	}
	if err := describe(in, d); err != nil {
		return err
	}
	for _, seed := range []byte{1, 3} { // the second time it is reset, and has other memory
		if err := useDisk(d, seed); err != nil {
			return err
		}
	}
	file, err := os.ReadFile(vdpaDisk)
	if err != nil {
		return err
	}
	if !bytes.Equal(file[8*512:][:4096], pattern(4096, 3)) {
		return fmt.Errorf("the disk has something else")
	}
	return nil
}

// describe tells what the device says of itself.
func describe(in *guest.Inside, d kernel.VDPA) error {
	rings, err := d.Rings()
	if err != nil {
		return err
	}
	size, err := d.MaxSize()
	if err != nil {
		return err
	}
	length, err := d.ConfigSize()
	if err != nil {
		return err
	}
	first, last, err := d.IOVARange()
	if err != nil {
		return err
	}
	groups, err := d.Groups()
	if err != nil {
		return err
	}
	spaces, err := d.AddressSpaces()
	if err != nil {
		return err
	}
	in.Tell("vdpa: %d rings of %d, a configuration of %d bytes, addresses %#x to %#x, %d groups, %d spaces", rings, size, length, first, last, groups, spaces)
	if rings != 2 || groups != 1 || spaces != 1 || length < 8 || last < base+8*ringRoom {
		return fmt.Errorf("that is not what the daemon serves")
	}
	return nil
}

func useDisk(d kernel.VDPA, seed byte) error {
	const features = virtqueue.Features | featureAccessPlatform
	if err := d.Negotiate(features, virtqueue.FeatureVersion1|featureAccessPlatform); err != nil {
		return err
	}
	config, err := d.Config(0, 8)
	if err != nil {
		return err
	}
	if n := binary.LittleEndian.Uint64(config); n != vdpaLen/512 {
		return fmt.Errorf("a disk of %d sectors", n)
	}
	m, err := newMachine()
	if err != nil {
		return err
	}
	defer m.close()
	if err := d.SetMemory(m.table); err != nil {
		return err
	}
	var rings [2]*ring
	for i := range rings {
		if rings[i], err = m.addRing(d, i, 64, d.Features); err != nil {
			return err
		}
	}
	if err := d.Run(); err != nil {
		return err
	}
	for i, r := range rings {
		text := pattern(4096, seed+byte(i))
		sector := uint64(8 + 8*i)
		if err := blockRequest(r, 1, sector, text, nil); err != nil {
			return fmt.Errorf("ring %d: a write: %w", i, err)
		}
		got := make([]byte, len(text))
		if err := blockRequest(r, 0, sector, nil, got); err != nil {
			return fmt.Errorf("ring %d: a read: %w", i, err)
		}
		if !bytes.Equal(got, text) {
			return fmt.Errorf("ring %d: a read brings something else", i)
		}
	}
	if s, err := d.Status(); err != nil || s != kernel.StatusAcknowledge|kernel.StatusDriver|kernel.StatusFeaturesOK|kernel.StatusDriverOK {
		return fmt.Errorf("the status is %#x, %v", s, err)
	}
	return nil
}

// blockRequest does a request of virtio-blk (VIRTIO 1.2 section 5.2.6).
func blockRequest(r *ring, kind uint32, sector uint64, out, in []byte) error {
	head := binary.LittleEndian.AppendUint32(nil, kind)
	head = binary.LittleEndian.AppendUint32(head, 0)
	head = binary.LittleEndian.AppendUint64(head, sector)
	read, write := [][]byte{head}, []int{}
	if out != nil {
		read = append(read, out)
	}
	if in != nil {
		write = append(write, len(in))
	}
	got, err := r.do(read, append(write, 1)...)
	if err != nil {
		return err
	}
	if in != nil {
		copy(in, got[0])
	}
	if status := got[len(got)-1][0]; status != 0 {
		return fmt.Errorf("status %d", status)
	}
	return nil
}
