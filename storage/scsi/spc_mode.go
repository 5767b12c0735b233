package scsi

// modePages are the values of mode pages that can change.
type modePages struct {
	cache      bool // WCE of the caching page
	descriptor bool // D_SENSE of the control page
	protect    bool // SWP of the control page
	status     bool // TAS of the control page
}

func newModePages(c UnitConfig) modePages { return modePages{cache: !c.WriteThrough} }

func (m *modePages) writeCache() bool           { return m.cache }
func (m *modePages) descriptorSense() bool      { return m.descriptor }
func (m *modePages) softwareWriteProtect() bool { return m.protect }
func (m *modePages) taskAborted() bool          { return m.status }
