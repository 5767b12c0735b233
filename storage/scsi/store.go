package scsi

// persist saves the state of the unit as it is when its turn comes, so that what is
// saved last is what is newest. The command fails if that cannot be done.
func (u *Unit) persist(t *Task) {
	if u.config.Store == nil {
		return
	}
	u.saving <- struct{}{}
	defer func() { <-u.saving }()
	u.lock()
	saved := u.state.encode()
	u.unlock()
	if err := u.config.Store.Save(saved); err != nil {
		t.fail(Sense{Key: HardwareError, Code: CodeInternalFailure})
	}
}

func (s *state) encode() []byte { return nil }
