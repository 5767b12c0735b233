package scsi

// vitalPage is a page of vital product data (SPC-4 7.8).
func (t *Task) vitalPage(r *reply) {
	if t.unit == nil {
		t.invalidField(2, 7)
		return
	}
	page := t.cdb[2]
	r.bytes(byte(t.unit.config.Type), page, 0, 0)
	switch page {
	case 0x00:
		r.bytes(0x00, 0x80)
	case 0x80:
		r.text(t.unit.config.Serial, len(t.unit.config.Serial))
	default:
		t.invalidField(2, 7)
		return
	}
	r.length16(2, 4)
}
