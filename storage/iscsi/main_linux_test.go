package iscsi

import (
	"testing"

	"github.com/seed-012105e5/gonet/internal/netns"
)

func TestMain(m *testing.M) { netns.Main(m) }
