package imagestore

import (
	"errors"
	"syscall"
)

// room says whether the store may grow by size bytes and one image.
func (s *Store) room(name string, size int64) error {
	st := <-s.state
	defer s.put(st, false)
	used := size
	for n, i := range st.Images {
		if _, ok := st.active[n]; !ok && n != name {
			used += i.Size
		}
	}
	for _, p := range st.active {
		used += max(p.size(), p.done.Load())
	}
	switch {
	case s.config.Quota > 0 && used > s.config.Quota:
		return ErrQuota
	case len(st.Images) >= s.config.MaxImages, len(st.Uploads)+len(st.active) >= s.config.MaxUploads:
		return ErrTooMany
	}
	return nil
}

func (s *Store) tooLarge(size int64) bool { return s.config.MaxSize > 0 && size > s.config.MaxSize }

// quotaEvery is after how many bytes an upload whose size is not known is compared with the
// quota.
const quotaEvery = 1 << 20

// allowed says whether an upload may have size bytes. Of one whose size was announced that
// is known.
func (w *Writer) allowed(size int64) error {
	switch {
	case w.upload.Size >= 0:
		return nil
	case w.store.tooLarge(size):
		return ErrTooLarge
	case w.store.config.Quota > 0 && (size-w.measured >= quotaEvery || size < w.measured):
		if err := w.store.room(w.upload.Name, size-w.done.Load()); err == ErrQuota {
			return err
		}
		w.measured = size
	}
	return nil
}

// full has ENOSPC and EDQUOT be ErrFull, EFBIG be ErrTooLarge, and EROFS be ErrReadOnly.
func full(err error) error {
	switch {
	case errors.Is(err, syscall.EROFS):
		return errors.Join(ErrReadOnly, err)
	case errors.Is(err, syscall.ENOSPC), errors.Is(err, syscall.EDQUOT):
		return errors.Join(ErrFull, err)
	case errors.Is(err, syscall.EFBIG):
		return errors.Join(ErrTooLarge, err)
	}
	return err
}
