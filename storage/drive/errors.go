package drive

import "errors"

// Errors of a drive. Those of package imagestore come besides, of the images that it is to
// hold.
var (
	ErrBusy           = errors.New("drive: another operation is under way, try again later")
	ErrOffline        = errors.New("drive: the drive is not there")
	ErrConnected      = errors.New("drive: the drive is connected, but must not be for this operation")
	ErrDisconnected   = errors.New("drive: the drive is disconnected, but must not be for this operation")
	ErrNotSelected    = errors.New("drive: no image is selected")
	ErrRemoteDisabled = errors.New("drive: remote images are not allowed")
	ErrRemote         = errors.New("drive: the remote image cannot be opened")
	ErrLocked         = errors.New("drive: a machine uses the medium and does not let it go")
	ErrPermission     = errors.New("drive: the medium may not be opened by the drive")
	ErrClosed         = errors.New("drive: the drive is closed")
)
