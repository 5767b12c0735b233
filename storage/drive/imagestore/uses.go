package imagestore

// A use is what somebody does with an image.
type use uint8

const (
	reading   use = iota // others may read
	writing              // being uploaded
	changing             // being removed, or looked at for a change: nobody else
	mounted              // in a drive that does not write it
	mountedRW            // in a drive that writes it
	numUses
)

// uses are who uses which image, and how. It is what makes one operation of each image
// happen at a time; flock does the same between processes.
type uses map[string]*[numUses]int

// take notes a use of an image, or says why it cannot be.
func (u uses) take(name string, want use) error {
	have := u[name]
	if have == nil {
		have = new([numUses]int)
	}
	switch {
	case have[mountedRW] > 0 || have[mounted] > 0 && want != reading && want != mounted:
		return ErrMounted
	case have[writing] > 0 || have[changing] > 0 || have[reading] > 0 && want != reading && want != mounted:
		return ErrBusy
	}
	have[want]++
	u[name] = have
	return nil
}

// drop takes the note back.
func (u uses) drop(name string, was use) {
	have := u[name]
	have[was]--
	if *have == [numUses]int{} {
		delete(u, name)
	}
}
