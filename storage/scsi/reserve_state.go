package scsi

// reservations are what of a unit is reserved, and for whom.
type reservations struct{}

// conflict says whether a command of this link conflicts with a reservation.
func (r *reservations) conflict(l *link, c *command, cdb []byte) bool { return false }

// loseNexus frees what a nexus had reserved by RESERVE.
func (r *reservations) loseNexus(l *link) {}

// reset frees what was reserved by RESERVE.
func (r *reservations) reset() {}
