package kernel_test

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"os"
	"path/filepath"

	"github.com/seed-012105e5/gonet/internal/testing/guest"
	"github.com/seed-012105e5/gonet/vhost/kernel"
	"github.com/seed-012105e5/gonet/vhost/virtqueue"
)

const (
	targetDir  = "/sys/kernel/config/target"
	targetName = "naa.5001405000000001"
)

// makeTarget has the kernel offer a disk of 16 MB at a target for vhost.
func makeTarget(in *guest.Inside) error {
	if err := in.Mount("configfs", "/sys/kernel/config", "configfs", 0, ""); err != nil {
		return err
	}
	disk := filepath.Join(targetDir, "core/fileio_0/disk")
	group := filepath.Join(targetDir, "vhost", targetName, "tpgt_1")
	lun := filepath.Join(group, "lun/lun_0")
	for _, dir := range []string{filepath.Join(targetDir, "core"), filepath.Dir(disk), disk} {
		if err := os.MkdirAll(dir, 0o755); err != nil {
			return err
		}
	}
	if err := os.WriteFile(filepath.Join(disk, "control"), []byte("fd_dev_name=/tmp/scsi.img,fd_dev_size=16777216"), 0); err != nil {
		return err
	}
	if err := os.WriteFile(filepath.Join(disk, "enable"), []byte("1"), 0); err != nil {
		return err
	}
	for _, dir := range []string{filepath.Join(targetDir, "vhost"), filepath.Dir(group), group, lun} {
		if err := os.MkdirAll(dir, 0o755); err != nil {
			return err
		}
	}
	if err := os.WriteFile(filepath.Join(group, "nexus"), []byte("naa.5001405000000002"), 0); err != nil {
		return err
	}
	return os.Symlink(disk, filepath.Join(lun, "port"))
}

// useSCSI sends commands to that disk: it tells what it is, takes blocks and gives them
// back.
func useSCSI(in *guest.Inside) error {
	if err := makeTarget(in); err != nil {
		return err
	}
	d, err := kernel.OpenSCSI()
	if err != nil {
		return err
	}
	defer d.Close()
	if err := d.Negotiate(virtqueue.Features, virtqueue.FeatureVersion1); err != nil {
		return err
	}
	m, err := newMachine()
	if err != nil {
		return err
	}
	defer m.close()
	if err := d.SetMemory(m.table); err != nil {
		return err
	}
	var rings [3]*ring
	for i := range rings {
		if rings[i], err = m.addRing(d, i, 128, d.Features); err != nil {
			return err
		}
	}
	if err := d.SetEndpoint(targetName, 1); err != nil {
		return err
	}
	if err := commandDisk(in, rings[2]); err != nil {
		return err
	}
	return d.ClearEndpoint(targetName, 1)
}

func commandDisk(in *guest.Inside, r *ring) error {
	inquiry, err := command(r, []byte{0x12, 0, 0, 0, 96, 0}, nil, 96)
	if err != nil {
		return fmt.Errorf("INQUIRY: %w", err)
	}
	if !bytes.HasPrefix(inquiry[8:], []byte("LIO-ORG ")) {
		return fmt.Errorf("INQUIRY: %q", inquiry)
	}
	in.Tell("scsi: the disk is %q", inquiry[8:32])
	text := pattern(8*512, 9)
	for block := range 3 {
		cdb := func(code byte) []byte { return []byte{code, 0, 0, 0, 0, byte(100 * block), 0, 0, 8, 0} }
		if _, err := command(r, cdb(0x2a), text, 0); err != nil {
			return fmt.Errorf("WRITE: %w", err)
		}
		got, err := command(r, cdb(0x28), nil, len(text))
		if err != nil {
			return fmt.Errorf("READ: %w", err)
		}
		if !bytes.Equal(got, text) {
			return fmt.Errorf("READ brings something else")
		}
	}
	file, err := os.ReadFile("/tmp/scsi.img")
	if err == nil && !bytes.Equal(file[200*512:][:len(text)], text) {
		err = fmt.Errorf("the disk has something else")
	}
	return err
}

// command sends a command (struct virtio_scsi_cmd_req, VIRTIO 1.2 section 5.6.6.1), once
// more if the disk has something to tell first.
func command(r *ring, cdb, out []byte, in int) ([]byte, error) {
	const responseLen = 108
	request := make([]byte, 51)
	copy(request, []byte{1, 1, 0x40, 0}) // the portal group, and LUN 0
	copy(request[19:], cdb)
	read, write := [][]byte{request}, []int{responseLen}
	if out != nil {
		read = append(read, out)
	}
	if in > 0 {
		write = append(write, in)
	}
	for again := range 2 {
		got, err := r.do(read, write...)
		if err != nil {
			return nil, err
		}
		sense, status, response := binary.LittleEndian.Uint32(got[0]), got[0][10], got[0][11]
		if status == 2 && again == 0 {
			continue
		}
		if status != 0 || response != 0 {
			return nil, fmt.Errorf("status %d, response %d, sense % x", status, response, got[0][12:][:min(sense, 96)])
		}
		if in > 0 {
			return got[1], nil
		}
		return nil, nil
	}
	return nil, fmt.Errorf("CHECK CONDITION twice")
}
