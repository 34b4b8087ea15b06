package integration

import (
	"testing"

	"vrrpd/internal/lab"
)

func TestMain(m *testing.M) { lab.Main(m) }
