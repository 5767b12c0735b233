package imagestore

import "errors"

// Errors of a store. Others are those of the file system, such as ENOSPC.
var (
	ErrBusy     = errors.New("imagestore: another operation uses this image, try again later")
	ErrMounted  = errors.New("imagestore: the image is in a drive")
	ErrUnknown  = errors.New("imagestore: the image is not found in the storage")
	ErrExists   = errors.New("imagestore: the image exists already")
	ErrStatic   = errors.New("imagestore: the image cannot be removed")
	ErrReadOnly = errors.New("imagestore: the image cannot be written")
	ErrPartial  = errors.New("imagestore: the image is not complete")
	ErrOffline  = errors.New("imagestore: the storage is not there")
	ErrFull     = errors.New("imagestore: there is not enough room in the storage")
	ErrQuota    = errors.New("imagestore: the quota of the storage does not allow it")
	ErrTooLarge = errors.New("imagestore: the image is larger than one may be")
	ErrTooMany  = errors.New("imagestore: the storage has as many images as it may have")
	ErrChecksum = errors.New("imagestore: the checksum of what was written is another")
	ErrOffset   = errors.New("imagestore: this offset does not continue what is there")
	ErrSize     = errors.New("imagestore: more or fewer bytes came than were announced")
)
