package block

const RaceEnabled = raceEnabled

// ReplaceSync has the system call that makes data durable replaced.
func (d *File) ReplaceSync(f func() error) { d.datasync = f }
