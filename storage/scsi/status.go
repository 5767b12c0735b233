package scsi

import "fmt"

// A Status says how a command has ended (SAM-4 5.3).
type Status uint8

const (
	Good                Status = 0x00
	CheckCondition      Status = 0x02 // there is sense
	ConditionMet        Status = 0x04 // PRE-FETCH: all is in the cache
	Busy                Status = 0x08
	ReservationConflict Status = 0x18
	TaskSetFull         Status = 0x28
	TaskAborted         Status = 0x40 // by another nexus, and TAS is one
)

func (s Status) String() string {
	switch s {
	case Good:
		return "GOOD"
	case CheckCondition:
		return "CHECK CONDITION"
	case ConditionMet:
		return "CONDITION MET"
	case Busy:
		return "BUSY"
	case ReservationConflict:
		return "RESERVATION CONFLICT"
	case TaskSetFull:
		return "TASK SET FULL"
	case TaskAborted:
		return "TASK ABORTED"
	}
	return fmt.Sprintf("status %02Xh", uint8(s))
}

// Residual says by how many bytes the initiator's expectation and the transfer of a
// command differ: with overflow the command would have transferred more. It is for
// both directions (SAM-4 5.4.3, RFC 7143 11.4.5).
func Residual(expected, transferred int) (bytes int, overflow bool) {
	if transferred > expected {
		return transferred - expected, true
	}
	return expected - transferred, false
}
