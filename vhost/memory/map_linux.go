package memory

import (
	"fmt"
	"math"

	"golang.org/x/sys/unix"
)

// Map maps a region of a file that can be mapped and shared: a memfd, a file of
// hugetlbfs or of tmpfs. It does not take the fd, which may be closed
// afterwards. It fails with ErrRegion, also where the file is shorter than the
// region is to be, or with what the kernel says.
func Map(r Region, fd int) (*Mapping, error) {
	if err := r.check(); err != nil {
		return nil, err
	}
	var st unix.Stat_t
	if err := unix.Fstat(fd, &st); err != nil {
		return nil, fmt.Errorf("memory: %w", err)
	}
	if st.Mode&unix.S_IFMT == unix.S_IFREG && r.Offset+r.Size > uint64(st.Size) {
		return nil, fmt.Errorf("%w: it ends at %d, and its file at %d", ErrRegion, r.Offset+r.Size, st.Size)
	}
	// The kernel maps whole pages, which in hugetlbfs are large.
	page := uint64(pageSize(fd))
	from := r.Offset &^ (page - 1)
	length := (r.Offset - from + r.Size + page - 1) &^ (page - 1)
	if length > math.MaxInt || from > math.MaxInt64 || r.Size > length {
		return nil, fmt.Errorf("%w: %+v is too large", ErrRegion, r)
	}
	all, err := unix.Mmap(fd, int64(from), int(length), unix.PROT_READ|unix.PROT_WRITE, unix.MAP_SHARED|unix.MAP_NORESERVE)
	if err != nil {
		return nil, fmt.Errorf("memory: mmap: %w", err)
	}
	mem := all[r.Offset-from:][:r.Size:r.Size]
	m, err := New(r, mem, func() { unix.Munmap(all) }) // of a mapping that is there
	if err == nil {
		m.whole = all
	}
	return m, err
}

// await waits until a part of m has come.
func (m *Mapping) await(b []byte) {
	if len(b) == 0 {
		return
	}
	at := Address(b) - Address(m.whole)
	from := at &^ (uint64(unix.Getpagesize()) - 1)
	// It fails where there is nothing, which an access tells of, too.
	unix.Madvise(m.whole[from:at+uint64(len(b))], unix.MADV_POPULATE_READ)
}

// CanAwait says whether the kernel can wait so (Linux 5.14).
func CanAwait() bool {
	page, err := unix.Mmap(-1, 0, unix.Getpagesize(), unix.PROT_READ, unix.MAP_PRIVATE|unix.MAP_ANONYMOUS)
	if err != nil {
		return false
	}
	defer unix.Munmap(page)
	return unix.Madvise(page, unix.MADV_POPULATE_READ) == nil
}

// pageSize is the size of the pages of a file.
func pageSize(fd int) int {
	var fs unix.Statfs_t
	if unix.Fstatfs(fd, &fs) == nil && fs.Type == unix.HUGETLBFS_MAGIC {
		return int(fs.Bsize)
	}
	return unix.Getpagesize()
}

// Create makes memory that can be shared: a file without a name, of size bytes.
// The caller closes the fd.
func Create(name string, size uint64) (fd int, err error) { return memfd(name, size, 0) }

// CreateHuge is Create with huge pages of the machine's default size, of which size is a
// multiple. The machine must have set them aside (/proc/sys/vm/nr_hugepages): otherwise
// it fails when the memory is mapped.
func CreateHuge(name string, size uint64) (fd int, err error) {
	return memfd(name, size, unix.MFD_HUGETLB)
}

func memfd(name string, size uint64, flags int) (fd int, err error) {
	fd, err = unix.MemfdCreate(name, unix.MFD_CLOEXEC|flags)
	if err != nil {
		return -1, fmt.Errorf("memory: %w", err)
	}
	if err := unix.Ftruncate(fd, int64(size)); err != nil {
		unix.Close(fd)
		return -1, fmt.Errorf("memory: %w", err)
	}
	return fd, nil
}

// MapOwn is Map for a driver in this process, whose User address is where the region
// lies.
func MapOwn(r Region, fd int) (*Mapping, error) {
	m, err := Map(r, fd)
	if err == nil {
		m.User = Address(m.mem)
	}
	return m, err
}

// Own makes memory of this process that can be shared, with zeroes, for a driver in it.
// It is size bytes, from an address of the guest's on.
func Own(name string, guest, size uint64) (*Mapping, error) {
	fd, err := Create(name, size)
	if err != nil {
		return nil, err
	}
	defer unix.Close(fd)
	return MapOwn(Region{Guest: guest, Size: size}, fd)
}
