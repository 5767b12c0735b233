package packetdrill

import (
	"reflect"
	"testing"
	"time"

	"github.com/seed-012105e5/gonet/tcp"
)

// TestSysctls: a setting that is taken changes what it should and nothing
// else, and all others are refused.
func TestSysctls(t *testing.T) {
	type change func(c *config)
	for setting, want := range map[string]change{
		"net.ipv4.tcp_timestamps=0":                   func(c *config) { c.tcp.NoTimestamps = true },
		"net.ipv4.tcp_timestamps=1":                   func(*config) {},
		"/proc/sys/net/ipv4/tcp_sack=0":               func(c *config) { c.tcp.NoSACK = true },
		"net/ipv4/tcp_window_scaling=0":               func(c *config) { c.tcp.NoWindowScale = true },
		"net.ipv4.tcp_rmem=4096 5000 6000":            func(c *config) { c.tcp.MaxReceiveBuffer = 6000 },
		"net.ipv4.tcp_wmem=4096 5000 6000":            func(c *config) { c.tcp.MaxSendBuffer = 6000 },
		"net.ipv4.tcp_fin_timeout=7":                  func(c *config) { c.tcp.FinWait2 = 7 * time.Second },
		"net.ipv4.tcp_rto_min_us=5000":                func(c *config) { c.tcp.MinRTO = 5 * time.Millisecond },
		"net.ipv4.tcp_max_syn_backlog=9":              func(c *config) { c.tcp.SynBacklog = 9 },
		"net.ipv4.tcp_congestion_control=reno":        func(c *config) { c.tcp.Congestion = "reno" },
		"net.ipv4.tcp_ecn=0":                          func(c *config) { c.tcp.ECN = tcp.ECNOff },
		"net.ipv4.tcp_ecn=1":                          func(c *config) { c.tcp.ECN = tcp.ECNAsk },
		"net.ipv4.tcp_ecn=2":                          func(c *config) { c.tcp.ECN = tcp.ECNAccept },
		"net.ipv4.tcp_recovery=0":                     func(c *config) { c.tcp.Recovery = "sack" },
		"net.ipv4.tcp_recovery=1":                     func(c *config) { c.tcp.Recovery = "rack" },
		"net.ipv4.tcp_mtu_probing=0":                  func(c *config) { c.tcp.MTUProbing = tcp.ProbeNever },
		"net.ipv4.tcp_mtu_probing=2":                  func(c *config) { c.tcp.MTUProbing = tcp.ProbeAlways },
		"net.ipv4.tcp_syn_retries=2":                  func(c *config) { c.tcp.ConnectTimeout = 7*time.Second - time.Microsecond },
		"net.ipv4.tcp_fastopen=0x403":                 func(c *config) { c.fastOpen = fastOpenPending },
		"net.ipv4.tcp_fastopen=3":                     func(*config) {},
		"net.ipv4.tcp_fastopen=1":                     func(c *config) { c.noServer = true },
		"net.ipv4.tcp_fastopen=2":                     func(c *config) { c.noClient = true },
		"net.ipv4.tcp_dsack=1":                        func(*config) {},
		"net.ipv4.tcp_min_tso_segs=4":                 func(*config) {},
		"net.ipv4.tcp_ecn=3":                          nil,
		"net.ipv4.tcp_ecn=x":                          nil,
		"net.ipv4.tcp_dsack=0":                        nil,
		"net.ipv4.tcp_mtu_probing=7":                  nil,
		"net.ipv4.tcp_fastopen=0x202":                 nil,
		"net.ipv4.tcp_fastopen_key=00-00-00-00":       nil,
		"net.ipv4.tcp_slow_start_after_idle=1":        nil,
		"net.ipv4.tcp_rmem=5000":                      nil,
		"net.ipv4.tcp_rmem=1 2 99999999999":           nil,
		"net.ipv4.tcp_fin_timeout=999999999999":       nil,
		"net.ipv4.tcp_fin_timeout=-1":                 nil,
		"net.ipv4.tcp_wmem=4096 5000 $((2*1024))":     nil,
		"net.ipv4.tcp_timestamps":                     nil,
		"net.ipv4.ip_forward=1":                       nil,
		"net.core.rmem_max=1":                         nil,
		"net.ipv4.tcp_limit_output_bytes=bad anyhow!": func(*config) {},
	} {
		start := config{mtu: 1500, tcp: tcp.Config{Congestion: "cubic"}}
		got := start
		err := got.sysctls([]string{"-q", setting})
		if want == nil {
			if err == nil {
				t.Errorf("%s is taken", setting)
			}
			continue
		}
		wanted := start
		if want(&wanted); err != nil || !reflect.DeepEqual(got, wanted) {
			t.Errorf("%s: %v makes\n%+v, want\n%+v", setting, err, got, wanted)
		}
	}
	c := config{linux: true}
	if err := c.command([]string{"../common/defaults.sh"}); err != nil {
		t.Error(err)
	}
}
