//go:build race

package block

const raceEnabled = true // pools lose some of what is put back
