//go:build !linux

package main

import "errors"

func (b *bench) network() ([]kind, func(), error) {
	return nil, nil, errors.New("there are no network namespaces here")
}
