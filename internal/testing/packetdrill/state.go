package packetdrill

import (
	"fmt"
	"net"
	"reflect"
	"slices"
	"strings"
	"time"

	"github.com/seed-012105e5/gonet"
	"github.com/seed-012105e5/gonet/tcp"
	"github.com/seed-012105e5/gonet/tcp/congestion"
)

// A state is what assertions can ask for: that of the connection which the
// last packet belonged to, and the counters of the stack.
type state struct {
	info  tcp.Info
	err   bool // no connection was ever there
	stats gonet.Stats
	mss   int // as the stack offers it
	linux bool
}

// constants are names for values of TCP_INFO, as Linux has them.
var constants = map[string]any{
	"TCP_INFINITE_SSTHRESH": float64(infiniteThreshold),
	"TCP_CA_Open":           float64(caOpen), "TCP_CA_Disorder": float64(caDisorder), "TCP_CA_CWR": float64(caReduced),
	"TCP_CA_Recovery": float64(caRecovery), "TCP_CA_Loss": float64(caLoss),
	"TCPI_OPT_TIMESTAMPS": float64(optionTimestamps), "TCPI_OPT_SACK": float64(optionSACK), "TCPI_OPT_WSCALE": float64(optionScale),
	"TCPI_OPT_ECN": float64(optionECN), "TCPI_OPT_ECN_SEEN": 16., "TCPI_OPT_SYN_DATA": float64(optionSYNData),

	"TCP_ESTABLISHED": tcp.Established, "TCP_SYN_SENT": tcp.SynSent, "TCP_SYN_RECV": tcp.SynReceived,
	"TCP_FIN_WAIT1": tcp.FinWait1, "TCP_FIN_WAIT2": tcp.FinWait2, "TCP_TIME_WAIT": tcp.TimeWait,
	"TCP_CLOSE": tcp.Closed, "TCP_CLOSE_WAIT": tcp.CloseWait, "TCP_LAST_ACK": tcp.LastAck,
	"TCP_LISTEN": tcp.Listen, "TCP_CLOSING": tcp.Closing,
}

// Values of tcpi_ca_state, and bits of tcpi_options.
const (
	caOpen = iota
	caDisorder
	caReduced
	caRecovery
	caLoss

	optionTimestamps = 1
	optionSACK       = 2
	optionScale      = 4
	optionECN        = 8
	optionSYNData    = 32

	infiniteThreshold = 1<<31 - 1
)

// state looks at the connection and the stack.
func (r *run) state() *state {
	s := &state{stats: r.stack.Stats(), mss: r.cfg.offeredMSS(), linux: r.cfg.linux, err: true}
	local, remote := r.cfg.bindPort, peerPort+uint16(1)
	if f := r.current; f != nil {
		local, remote = f.local, f.remote
	}
	for _, k := range r.allSockets() { // what a connection was at its end
		k.look()
		if k.conn != nil && port(k.conn.RemoteAddr()) == remote && port(k.conn.LocalAddr()) == local {
			s.info, s.err = k.conn.Info(), false
		}
	}
	s.info.State = tcp.Closed
	all := r.stack.Connections()
	if i := slices.IndexFunc(all, func(i tcp.Info) bool {
		return i.Local.Port() == local && i.Remote.Port() == remote
	}); i >= 0 {
		if s.err || all[i].SendMSS > 0 { // TIME-WAIT keeps little
			s.info, s.err = all[i], false
		}
		s.info.State = all[i].State
	} else if (s.err || !r.cfg.linux) && slices.ContainsFunc(all, func(i tcp.Info) bool { return i.State == tcp.Listen && i.Local.Port() == local }) {
		s.info.State = tcp.Listen
	}
	return s
}

func port(a net.Addr) uint16 { return uint16(a.(*net.TCPAddr).Port) }

// value is what an assertion calls name:
//
//	tcpi_…       as Linux's TCP_INFO has it, in its units: packets, microseconds
//	Info.…       a field of tcp.Info; times in seconds
//	tcp.… etc.   a counter of the stack
func (s *state) value(name string) (any, error) {
	if v, ok := constants[name]; ok {
		return v, nil
	}
	if field, ok := strings.CutPrefix(name, "Info."); ok {
		f := reflect.ValueOf(s.info).FieldByName(field)
		if !f.IsValid() {
			return nil, fmt.Errorf("tcp.Info has no field %s", field)
		}
		return plain(f), nil
	}
	if n, ok := s.stats[name]; ok {
		return float64(n), nil
	}
	if s.err && name != "tcpi_state" && !s.linux {
		return nil, fmt.Errorf("there is no connection")
	}
	if v, ok := s.tcpInfo(name); ok {
		return v, nil
	}
	return nil, fmt.Errorf("no value %q", name)
}

// plain turns a field into a number, a boolean or a string.
func plain(f reflect.Value) any {
	switch v := f.Interface().(type) {
	case time.Duration:
		return v.Seconds()
	case tcp.State:
		return v
	case error:
		return errnoName(v)
	case bool, string:
		return v
	case fmt.Stringer:
		return v.String()
	}
	switch {
	case f.CanInt():
		return float64(f.Int())
	case f.CanUint():
		return float64(f.Uint())
	case f.CanFloat():
		return f.Float()
	case f.Kind() == reflect.Interface: // an error, and there is none
		return ""
	}
	return fmt.Sprint(f.Interface())
}

// caState is tcpi_ca_state. A window that was reduced because of ECN (CWR) is
// no state of ours.
func (s *state) caState() int {
	switch i := &s.info; {
	case i.Recovering:
		return caRecovery
	case i.RepairingTimeout:
		return caLoss
	case i.SACKed > 0:
		return caDisorder
	}
	return caOpen
}

// options are the bits of tcpi_options.
func (s *state) options() (bits int) {
	i := &s.info
	for bit, is := range map[int]bool{
		optionTimestamps: i.Timestamps, optionSACK: i.SACK, optionScale: i.SendScale > 0 || i.ReceiveScale > 0,
		optionECN: i.ECN, optionSYNData: i.FastOpen,
	} {
		if is {
			bits |= bit
		}
	}
	return bits
}

// tcpInfo is a field of Linux's TCP_INFO.
func (s *state) tcpInfo(name string) (any, bool) {
	i := &s.info
	packets := func(bytes int) float64 { return float64((bytes + i.SendMSS - 1) / max(1, i.SendMSS)) }
	microseconds := func(d time.Duration) float64 { return float64(d.Microseconds()) }
	milliseconds := func(at time.Time) float64 { return float64(time.Since(at).Milliseconds()) }
	switch name {
	case "tcpi_state":
		return i.State, true
	case "tcpi_ca_state":
		return float64(s.caState()), true
	case "tcpi_options":
		return float64(s.options()), true
	case "tcpi_sacked":
		return packets(i.SACKed), true
	case "tcpi_lost":
		return packets(i.Lost), true
	case "tcpi_retrans":
		return packets(i.Resent), true
	case "tcpi_total_retrans":
		return packets(int(i.BytesResent)), true
	case "tcpi_delivered": // the SYN, and what else there is
		return min(1, float64(i.BytesDelivered)) + packets(int(max(1, i.BytesDelivered)-1)), true
	case "tcpi_snd_wnd":
		return float64(i.SendWindow), true
	case "tcpi_rcv_wnd":
		return float64(i.ReceiveWindow), true
	case "tcpi_notsent_bytes":
		return float64(i.SendQueue - i.Unacked), true
	case "tcpi_advmss":
		return float64(s.mss), true
	case "tcpi_last_data_sent":
		return milliseconds(i.LastSent), true
	case "tcpi_last_ack_recv":
		return milliseconds(i.LastHeard), true
	case "tcpi_snd_cwnd":
		return packets(i.CongestionWindow), true
	case "tcpi_snd_ssthresh":
		if i.SlowStartThresh >= congestion.Unlimited {
			return float64(infiniteThreshold), true
		}
		return packets(i.SlowStartThresh), true
	case "tcpi_unacked":
		return packets(i.Unacked), true
	case "tcpi_rtt":
		return microseconds(i.RTT), true
	case "tcpi_rttvar":
		return microseconds(i.RTTVar), true
	case "tcpi_min_rtt":
		return microseconds(i.MinRTT), true
	case "tcpi_rto":
		return microseconds(i.RTO), true
	case "tcpi_snd_mss":
		return float64(i.SendMSS), true
	case "tcpi_pmtu":
		return float64(i.PathMTU), true
	case "tcpi_backoff":
		return float64(i.ConsecutiveProbes), true
	case "tcpi_bytes_sent":
		return float64(i.BytesSent + i.BytesResent), true
	case "tcpi_bytes_retrans":
		return float64(i.BytesResent), true
	case "tcpi_bytes_received":
		return float64(i.BytesReceived), true
	case "tcpi_reord_seen":
		return i.ReorderingSeen, true
	case "tcpi_snd_wscale":
		return float64(i.SendScale), true
	case "tcpi_rcv_wscale":
		return float64(i.ReceiveScale), true
	}
	return nil, false
}
