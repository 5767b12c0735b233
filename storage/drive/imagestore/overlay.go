package imagestore

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"path"
	"strings"

	"github.com/seed-012105e5/gonet/storage/block"
	"github.com/seed-012105e5/gonet/storage/block/overlay"
)

// Overlays are files in mounted/DRIVE/: what machines have written over an image that
// stays as it is. The name of one says over what: the image, its size and its time. So
// there is none of an image that has been changed since, and what is of no use is removed.

// overlayFile is the file of an overlay. Version tells contents of the same base apart.
func overlayFile(drive, base, version string) string {
	return path.Join(mountedDir, drive, fileID(base)+"."+version+".overlay")
}

// versionOf tells the contents of an image apart from those before and after.
func versionOf(i Image) string { return fmt.Sprintf("%x-%x", i.Size, i.Modified.UnixNano()) }

// Overlay puts an overlay of a drive's over the image, which Mount has opened without
// writing: from now on the mount's disk takes writes.
func (s *Store) Overlay(drive string, m *Mount) error {
	disk, err := s.OverlayOver(drive, m.Image.Name, versionOf(m.Image), m.Disk)
	if err == nil {
		m.Disk, m.Path = disk, ""
	}
	return err
}

// OverlayOver is Overlay for a disk from elsewhere, of that name. Closing the disk that it
// returns closes the base.
func (s *Store) OverlayOver(drive, name, version string, base *block.Disk) (*block.Disk, error) {
	dir, file := path.Join(mountedDir, drive), overlayFile(drive, name, version)
	if err := mkdirs(s.tree, dir); err != nil {
		return nil, full(err)
	}
	if err := s.dropOverlays(dir, name, path.Base(file)); err != nil {
		return nil, err
	}
	opened, err := s.tree.Open(file, true)
	if errors.Is(err, fs.ErrNotExist) {
		if opened, err = s.tree.Create(file); err == nil {
			err = s.tree.SyncDir(dir)
		}
	}
	if err != nil {
		return nil, full(err)
	}
	f, ok := opened.(osFile)
	if !ok {
		return nil, errors.Join(errors.ErrUnsupported, opened.Close())
	}
	store, err := block.NewFile(f.File, block.FileConfig{})
	if err != nil {
		return nil, errors.Join(ErrBusy, err, f.Close())
	}
	o, err := overlay.Open(base, store, overlay.Config{})
	if err != nil {
		return nil, errors.Join(err, store.Close())
	}
	disk, err := block.NewDisk(o)
	if err != nil {
		return nil, errors.Join(err, store.Close())
	}
	return disk, nil
}

// dropOverlays removes the overlays over an image in a directory, but for one.
func (s *Store) dropOverlays(dir, name, but string) error {
	entries, err := s.tree.ReadDir(dir)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	for _, e := range entries {
		if n := e.Name(); strings.HasPrefix(n, fileID(name)+".") && strings.HasSuffix(n, ".overlay") && n != but {
			err = errors.Join(err, s.tree.Remove(path.Join(dir, n)))
		}
	}
	return err
}

// DiscardOverlay forgets what machines have written over an image by a drive. The image
// must be in no drive.
func (s *Store) DiscardOverlay(drive, name string) error {
	if err := s.use(name, changing); err != nil {
		return err
	}
	defer s.drop(name, changing)
	dir := path.Join(mountedDir, drive)
	if err := s.dropOverlays(dir, name, ""); err != nil {
		return err
	}
	if err := s.tree.SyncDir(dir); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	return nil
}

// CommitOverlay writes to the image what machines have written over it by a drive, and
// forgets the overlay. If it fails or the power goes, the overlay has all of it still, and
// the image some of it; then only a commit makes the image whole. It fails with ErrUnknown
// if there is no overlay.
func (s *Store) CommitOverlay(ctx context.Context, drive, name string, progress func(done, size int64)) error {
	image, err := s.Image(name)
	if err != nil {
		return err
	}
	version := versionOf(image)
	committing := overlayFile(drive, name, "committing")
	if _, err := s.tree.Stat(committing); err == nil {
		version = "committing" // one that was cut short
	} else if _, err := s.tree.Stat(overlayFile(drive, name, version)); err != nil {
		return ErrUnknown
	}
	m, err := s.Mount(name, true)
	if err != nil {
		return err
	}
	defer m.Close()
	if version != "committing" { // the image is about to have another time
		if err := s.tree.Replace(overlayFile(drive, name, version), committing); err != nil {
			return err
		}
		if err := s.tree.SyncDir(path.Dir(committing)); err != nil {
			return err
		}
	}
	disk, err := s.OverlayOver(drive, name, "committing", m.Disk)
	if err != nil {
		return err
	}
	m.Disk = disk // closes the image's
	if err := disk.Device().(*overlay.Overlay).Commit(ctx, progress); err != nil {
		return err
	}
	return errors.Join(s.tree.Remove(committing), s.tree.SyncDir(path.Dir(committing)))
}

// dropAllOverlays removes the overlays over an image that is gone.
func (s *Store) dropAllOverlays(name string) {
	drives, _ := s.tree.ReadDir(mountedDir)
	for _, d := range drives {
		s.dropOverlays(path.Join(mountedDir, d.Name()), name, "")
	}
}
