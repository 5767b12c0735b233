package rootless

import (
	"errors"
	"strings"
	"syscall"
	"testing"
)

func TestExplain(t *testing.T) {
	for _, test := range []struct {
		sysctls map[string]string
		err     error
		want    string
	}{
		{map[string]string{"kernel.unprivileged_userns_clone": "0"}, syscall.EPERM, "sudo sysctl kernel.unprivileged_userns_clone=1,"},
		{map[string]string{"user.max_user_namespaces": "0"}, syscall.ENOSPC, "sudo sysctl user.max_user_namespaces=10000,"},
		{map[string]string{"user.max_net_namespaces": "0"}, syscall.ENOSPC, "sudo sysctl user.max_net_namespaces=10000,"},
		{map[string]string{"kernel.apparmor_restrict_unprivileged_userns": "1"}, syscall.EACCES, "sudo sysctl kernel.apparmor_restrict_unprivileged_userns=0,"},
		{map[string]string{"kernel.unprivileged_userns_clone": "1", "user.max_user_namespaces": "95000"}, syscall.EPERM, "seccomp"},
		{nil, syscall.EINVAL, "the kernel has no user namespaces"},
		{nil, syscall.ENOSPC, "sudo sysctl user.max_user_namespaces=N"},
	} {
		got := explain(test.err, func(name string) string { return test.sysctls[name] })
		if !errors.Is(got, test.err) || !strings.Contains(got.Error(), test.want) || !strings.Contains(got.Error(), "setcap") {
			t.Errorf("%v and %v: %v", test.sysctls, test.err, got)
		}
	}
}
