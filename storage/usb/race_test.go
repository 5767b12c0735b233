//go:build race

package usb

const raceEnabled = true
