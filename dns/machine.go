package dns

// A machine is the state of the resolver: (now, event) -> state. The events are
// begin and cancel, of users, and received and failed, of exchanges; what is to be
// done about them is in out, which whoever runs the machine empties after each.
type machine struct {
	cfg     Config
	servers []*server
	cache   *cache
	queries map[question]*query // that are being asked; each has an exchange
	lookups int                 // that have not ended
	out     []action
	stats   *Stats
}

// An action is one of three things to do.
type action struct {
	open   *exchange // send its message
	close  *exchange // nobody waits for more of it
	answer *lookup   // it has ended
}

func newMachine(cfg Config, stats *Stats) *machine {
	cfg = cfg.withDefaults()
	m := &machine{cfg: cfg, cache: newCache(cfg.CacheEntries, stats), queries: map[question]*query{}, stats: stats}
	for _, addr := range cfg.Servers {
		m.servers = append(m.servers, &server{addr: addr})
	}
	return m
}

// output takes what is to be done, in order.
func (m *machine) output() []action {
	out := m.out
	m.out = nil
	return out
}
