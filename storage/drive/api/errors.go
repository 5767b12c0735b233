package api

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net/http"

	"github.com/seed-012105e5/gonet/storage/drive"
	"github.com/seed-012105e5/gonet/storage/drive/imagestore"
)

// A fieldError says which parameter is bad, and why.
type fieldError struct{ field, why string }

func (e *fieldError) Error() string { return e.field + ": " + e.why }

func badField(field, format string, args ...any) error {
	return &fieldError{field, fmt.Sprintf(format, args...)}
}

// An httpError is an error of the API's own.
type httpError struct {
	name, text string
	status     int
}

func (e *httpError) Error() string { return e.text }

var (
	errUnauthorized = &httpError{"UnauthorizedError", "Unauthorized", http.StatusUnauthorized}
	errForbidden    = &httpError{"ForbiddenError", "Forbidden", http.StatusForbidden}
	errUnavailable  = &httpError{"UnavailableError", "Service Unavailable", http.StatusServiceUnavailable}
	errNotFound     = &httpError{"NotFoundError", "There is no such call", http.StatusNotFound}
	errMethod       = &httpError{"MethodNotAllowedError", "This call has another method", http.StatusMethodNotAllowed}
)

// named are the errors of what is behind the API: what clients of PiKVM's know by its
// names first, then what it has no name for.
var named = []struct {
	err    error
	name   string
	status int
}{
	{drive.ErrBusy, "MsdIsBusyError", http.StatusConflict},
	{imagestore.ErrBusy, "MsdIsBusyError", http.StatusConflict},
	{drive.ErrOffline, "MsdOfflineError", http.StatusBadRequest},
	{imagestore.ErrOffline, "MsdOfflineError", http.StatusBadRequest},
	{drive.ErrConnected, "MsdConnectedError", http.StatusBadRequest},
	{imagestore.ErrMounted, "MsdConnectedError", http.StatusBadRequest},
	{drive.ErrDisconnected, "MsdDisconnectedError", http.StatusBadRequest},
	{drive.ErrNotSelected, "MsdImageNotSelected", http.StatusBadRequest},
	{imagestore.ErrUnknown, "MsdUnknownImageError", http.StatusBadRequest},
	{imagestore.ErrExists, "MsdImageExistsError", http.StatusBadRequest},
	{imagestore.ErrStatic, "MsdImageStaticError", http.StatusBadRequest},
	{drive.ErrRemoteDisabled, "MsdRemoteDisabledError", http.StatusBadRequest},
	{drive.ErrLocked, "MsdLockedError", http.StatusBadRequest},
	{drive.ErrPermission, "MsdPermissionsError", http.StatusBadRequest},

	{drive.ErrRemote, "MsdRemoteError", http.StatusBadRequest},
	{imagestore.ErrPartial, "MsdImageIncompleteError", http.StatusBadRequest},
	{imagestore.ErrReadOnly, "MsdImageReadOnlyError", http.StatusBadRequest},
	{imagestore.ErrChecksum, "MsdChecksumError", http.StatusBadRequest},
	{imagestore.ErrOffset, "MsdOffsetError", http.StatusBadRequest},
	{imagestore.ErrSize, "MsdSizeError", http.StatusBadRequest},
	{imagestore.ErrTooLarge, "TooLargeError", http.StatusRequestEntityTooLarge},
	{imagestore.ErrFull, "MsdNoSpaceError", http.StatusInsufficientStorage},
	{imagestore.ErrQuota, "MsdQuotaError", http.StatusInsufficientStorage},
	{imagestore.ErrTooMany, "MsdTooManyImagesError", http.StatusInsufficientStorage},
	{fs.ErrPermission, "MsdPermissionsError", http.StatusBadRequest},
	{imagestore.ErrClosed, "UnavailableError", http.StatusServiceUnavailable},
	{drive.ErrClosed, "UnavailableError", http.StatusServiceUnavailable},
	{context.DeadlineExceeded, "MsdTimeoutError", http.StatusGatewayTimeout},
}

// describe gives an error its name and status.
func describe(err error) (name string, status int) {
	var h *httpError
	if errors.As(err, &h) {
		return h.name, h.status
	}
	var f *fieldError
	var n *imagestore.NameError
	if errors.As(err, &f) || errors.As(err, &n) {
		return "ValidatorError", http.StatusBadRequest
	}
	var tooLarge *http.MaxBytesError
	if errors.As(err, &tooLarge) {
		return "TooLargeError", http.StatusRequestEntityTooLarge
	}
	for _, e := range named {
		if errors.Is(err, e.err) {
			return e.name, e.status
		}
	}
	return "InternalError", http.StatusInternalServerError
}
