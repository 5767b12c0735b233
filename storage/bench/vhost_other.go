//go:build !linux

package main

import "errors"

var errLinux = errors.New("vhost-user is of Linux")

func (b *bench) runVhost(string, int) error { return errLinux }

func serveVhost(string, string, string, string, int64) error { return errLinux }
