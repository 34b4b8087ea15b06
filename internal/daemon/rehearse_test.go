package daemon

import (
	"testing"

	"vrrpd/vrrp"
)

func TestRehearse(t *testing.T) {
	if state := rehearse(); state != vrrp.Active {
		t.Errorf("it ends in %s: no takeover was rehearsed", state)
	}
}
