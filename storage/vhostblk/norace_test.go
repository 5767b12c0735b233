//go:build !race

package vhostblk

const raceEnabled = false
