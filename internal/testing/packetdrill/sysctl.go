package packetdrill

import (
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/seed-012105e5/gonet/tcp"
)

// linuxDefaults is what the public scripts for Linux set up before they begin,
// as far as it is no default of ours.
var linuxDefaults = []string{
	"net.ipv4.tcp_rmem=4096 540000 15728640", "net.ipv4.tcp_wmem=4096 262144 4194304",
	"net.ipv4.tcp_syn_retries=5", "net.ipv4.tcp_congestion_control=cubic", "net.ipv4.tcp_ecn=0",
	"net.ipv4.tcp_slow_start_after_idle=0", "net.ipv4.tcp_fastopen=0x70403",
}

// errNoMeaning refuses a setting that is known and that a stack of ours cannot
// be set to.
var errNoMeaning = errors.New("a stack cannot be set to this")

// sysctl applies a setting of Linux's kernel.
func (c *config) sysctl(name, value string) error {
	name, ok := strings.CutPrefix(name, "net.ipv4.")
	if !ok {
		return errors.New("no setting of TCP's")
	}
	set, ok := sysctls[name]
	if !ok {
		return errors.New("no such setting is known")
	}
	var numbers []int
	for w := range strings.FieldsSeq(value) {
		n, err := strconv.ParseInt(w, 0, 64)
		if err != nil || n < 0 {
			numbers = nil
			break
		}
		numbers = append(numbers, int(n))
	}
	return set(c, value, numbers)
}

// A sysctl applies a value of one setting. Its numbers are there when all of
// the value is numbers.
type sysctl func(c *config, value string, numbers []int) error

// number is a sysctl of one number.
func numeric(set func(c *config, n int) error) sysctl {
	return func(c *config, _ string, numbers []int) error {
		if len(numbers) != 1 {
			return fmt.Errorf("want a number")
		}
		return set(c, numbers[0])
	}
}

// only is a sysctl that may have these values, which say what a stack of ours
// does in any case.
func only(values ...int) sysctl {
	return numeric(func(_ *config, n int) error {
		for _, v := range values {
			if n == v {
				return nil
			}
		}
		return errNoMeaning
	})
}

// anything is a sysctl about what scripts do not see of us.
func anything(*config, string, []int) error { return nil }

// off is a sysctl that switches something off by 0.
func off(field func(c *config) *bool) sysctl {
	return numeric(func(c *config, n int) error {
		*field(c) = n == 0
		return nil
	})
}

// duration is a sysctl in the given unit.
func duration(unit time.Duration, field func(c *config) *time.Duration) sysctl {
	return numeric(func(c *config, n int) error {
		if time.Duration(n) > maxTime*time.Second/unit {
			return errNoMeaning
		}
		*field(c) = time.Duration(n) * unit
		return nil
	})
}

// buffer is a sysctl "least default most", of which most bounds the tuning.
func buffer(field func(c *config) *int) sysctl {
	return func(c *config, _ string, numbers []int) error {
		if len(numbers) != 3 || numbers[2] < 1 || numbers[2] > 1<<30 {
			return fmt.Errorf("want three numbers of bytes")
		}
		*field(c) = numbers[2]
		return nil
	}
}

// sysctls are the settings of net.ipv4 that scripts may have.
var sysctls = map[string]sysctl{
	"tcp_timestamps":     off(func(c *config) *bool { return &c.tcp.NoTimestamps }),
	"tcp_sack":           off(func(c *config) *bool { return &c.tcp.NoSACK }),
	"tcp_window_scaling": off(func(c *config) *bool { return &c.tcp.NoWindowScale }),

	"tcp_rmem": buffer(func(c *config) *int { return &c.tcp.MaxReceiveBuffer }),
	"tcp_wmem": buffer(func(c *config) *int { return &c.tcp.MaxSendBuffer }),

	"tcp_fin_timeout": duration(time.Second, func(c *config) *time.Duration { return &c.tcp.FinWait2 }),
	"tcp_rto_min_us":  duration(time.Microsecond, func(c *config) *time.Duration { return &c.tcp.MinRTO }),
	"tcp_max_syn_backlog": numeric(func(c *config, n int) error {
		c.tcp.SynBacklog = max(1, min(n, 1<<20))
		return nil
	}),

	"tcp_congestion_control": func(c *config, value string, _ []int) error {
		c.tcp.Congestion = value
		return nil
	},
	"tcp_ecn": numeric(func(c *config, n int) error {
		modes := [...]tcp.ECNMode{tcp.ECNOff, tcp.ECNAsk, tcp.ECNAccept}
		if n >= len(modes) { // 3 and more are AccECN
			return errNoMeaning
		}
		c.tcp.ECN = modes[n]
		return nil
	}),
	"tcp_recovery": numeric(func(c *config, n int) error {
		c.tcp.Recovery = "sack"
		if n&1 != 0 {
			c.tcp.Recovery = "rack"
		}
		return nil
	}),
	"tcp_mtu_probing": numeric(func(c *config, n int) error {
		modes := [...]tcp.MTUProbing{tcp.ProbeNever, tcp.ProbeWhenLowered, tcp.ProbeAlways}
		if n >= len(modes) {
			return errNoMeaning
		}
		c.tcp.MTUProbing = modes[n]
		return nil
	}),
	"tcp_syn_retries": numeric(func(c *config, n int) error {
		c.tcp.ConnectTimeout = synTimeout(n)
		return nil
	}),
	"tcp_fastopen": numeric(func(c *config, n int) error {
		const client, server, withoutCookie, noCookieRequired, allListeners = 0x1, 0x2, 0x4, 0x200, 0x400
		c.fastOpen, c.noClient, c.noServer = 0, n&client == 0, n&server == 0
		if n&(server|allListeners) == server|allListeners {
			c.fastOpen = fastOpenPending
		}
		if n&(withoutCookie|noCookieRequired) != 0 {
			return errNoMeaning
		}
		return nil
	}),

	"tcp_synack_retries":                 only(5),
	"tcp_syncookies":                     only(1),
	"tcp_slow_start_after_idle":          only(0),
	"tcp_frto":                           only(1, 2),
	"tcp_dsack":                          only(1),
	"tcp_fack":                           only(0),
	"tcp_reordering":                     only(3),
	"tcp_early_retrans":                  only(3, 4),
	"tcp_moderate_rcvbuf":                only(1),
	"tcp_notsent_lowat":                  only(-1, 1<<32-1),
	"tcp_tso_win_divisor":                anything, // trains are no matter of scripts for Linux
	"tcp_min_tso_segs":                   anything,
	"tcp_tso_rtt_log":                    anything,
	"tcp_limit_output_bytes":             anything,
	"tcp_autocorking":                    anything,
	"tcp_no_metrics_save":                anything, // nothing is saved between scripts
	"tcp_ecn_option":                     anything, // of AccECN
	"tcp_ecn_fallback":                   only(1),
	"tcp_pacing_ss_ratio":                anything, // the kernel's queueing discipline paces
	"tcp_pacing_ca_ratio":                anything,
	"tcp_fastopen_blackhole_timeout_sec": anything,
}

// fastOpenPending is how many connections may wait for the handshake where all
// listeners take part in Fast Open.
const fastOpenPending = 128

// synTimeout is how long Linux waits for the answer to a SYN that it sends
// again n times: 1, 2, 4... seconds. It is over just before the next one.
func synTimeout(n int) time.Duration {
	return time.Second<<(max(0, min(n, 12))+1) - time.Second - time.Microsecond
}
