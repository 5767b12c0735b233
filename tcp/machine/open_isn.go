package machine

import (
	"time"

	"github.com/seed-012105e5/gonet/internal/prf"
	"github.com/seed-012105e5/gonet/ip"
	"github.com/seed-012105e5/gonet/tcp/segment"
)

// secrets are the keys of one stack.
type secrets struct {
	isn, timestamp, syn, share, fastOpen prf.Key
}

func newSecrets(random func() uint64) secrets {
	return secrets{
		isn: prf.NewKey(random), timestamp: prf.NewKey(random), syn: prf.NewKey(random),
		share: prf.NewKey(random), fastOpen: prf.NewKey(random),
	}
}

// initialSeq is ISN = M + F(localip, localport, remoteip, remoteport,
// secretkey) of RFC 6528 section 3 (MUST-8, MUST-9, SHLD-1); M ticks every 4
// microseconds.
func (k *secrets) initialSeq(now time.Time, f ip.Flow) segment.Seq {
	m := now.UnixMicro() / 4
	return segment.Seq(m) + segment.Seq(k.isn.Flow(f.Local.AddrPort(), f.Remote.AddrPort()))
}

// timestampOffset is where the timestamp clock of a connection begins, so that
// it tells nothing of other connections (RFC 7323 section 7.1). It is the same
// for all connections between two addresses, so that TIME-WAIT and PAWS see
// one clock (RFC 6191).
func (k *secrets) timestampOffset(f ip.Flow) uint32 {
	f.Local.Port, f.Remote.Port = 0, 0
	return uint32(k.timestamp.Flow(f.Local.AddrPort(), f.Remote.AddrPort()))
}

// initialSeq is that of a new connection of f. In the place of one in
// TIME-WAIT, unless old is nil, its numbers are beyond all of the old ones (RFC
// 9293 section 3.6.1).
func (d *Tables) initialSeq(now time.Time, f ip.Flow, old *timeWait) segment.Seq {
	iss := d.secrets.initialSeq(now, f)
	if old != nil {
		iss = segment.Later(iss, old.sndNxt.Add(maxReceiveWindow))
	}
	return iss
}
