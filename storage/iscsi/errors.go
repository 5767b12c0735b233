package iscsi

import "errors"

// Errors of this package.
var (
	// ErrServerClosed is what Serve returns after Shutdown or Close.
	ErrServerClosed = errors.New("iscsi: the server is closed")
	// ErrTargetUnproven is of a target that does not prove what mutual CHAP asks.
	ErrTargetUnproven = errors.New("iscsi: the target does not prove itself")
)
