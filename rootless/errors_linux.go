package rootless

import (
	"errors"
	"fmt"
	"os"
	"strings"
	"syscall"
)

// forbidding are the sysctls by which a system forbids private networks: the
// value that does, and the one that does not.
var forbidding = [...]struct{ name, bad, good string }{
	{"kernel.unprivileged_userns_clone", "0", "1"},
	{"user.max_user_namespaces", "0", "10000"},
	{"user.max_net_namespaces", "0", "10000"},
	{"kernel.apparmor_restrict_unprivileged_userns", "1", "0"},
}

const otherWays = "or run the program without -rootless, either with sudo or after sudo setcap cap_net_admin+ep PROGRAM"

// explain says why there is no private network, and what to do. Sysctl reads
// one; empty when there is none of that name.
func explain(err error, sysctl func(name string) string) error {
	for _, f := range forbidding {
		if sysctl(f.name) == f.bad {
			return fmt.Errorf("rootless: this system forbids users private networks, by the sysctl %s = %s: allow them with sudo sysctl %s=%s, %s: %w", f.name, f.bad, f.name, f.good, otherWays, err)
		}
	}
	if errors.Is(err, syscall.ENOSPC) {
		return fmt.Errorf("rootless: no private network: there are as many as the system allows: allow more with sudo sysctl user.max_user_namespaces=N user.max_net_namespaces=N, %s: %w", otherWays, err)
	}
	return fmt.Errorf("rootless: no private network: perhaps a container forbids it (by seccomp; docker has --security-opt seccomp=unconfined), or the kernel has no user namespaces; %s: %w", otherWays, err)
}

func readSysctl(name string) string {
	value, err := os.ReadFile("/proc/sys/" + strings.ReplaceAll(name, ".", "/"))
	if err != nil {
		return ""
	}
	return strings.TrimSpace(string(value))
}
