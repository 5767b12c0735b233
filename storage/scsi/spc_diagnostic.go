package scsi

func spcDiagnosticCommands() []command {
	return []command{{
		name:  "SEND DIAGNOSTIC", // SPC-4 6.42: the default self-test, which finds nothing
		usage: []byte{0x1d, 0x17, 0x00, 0x00, 0x00, 0x00},
		types: both(), reserve: reserveWrites,
		locked: func(*Task, []byte, []byte) {},
	}}
}
