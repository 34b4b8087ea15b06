package bonding

import "testing"

// Every name is found again, and none is the zero value.
func TestEnumNames(t *testing.T) {
	for m := ModeBalanceRR; m <= ModeBalanceALB; m++ {
		if got, err := ParseMode(m.String()); err != nil || got != m {
			t.Errorf("%s: %v, %v", m, got, err)
		}
	}
	for v := ARPValidateNone; v <= ARPValidateFilterBackup; v++ {
		if got, err := ParseARPValidate(v.String()); err != nil || got != v {
			t.Errorf("%s: %v, %v", v, got, err)
		}
	}
	for p := HashLayer2; p <= HashVLANSrcMAC; p++ {
		if got, err := ParseHashPolicy(p.String()); err != nil || got != p {
			t.Errorf("%s: %v, %v", p, got, err)
		}
	}
	for r := ReselectAlways; r <= ReselectFailure; r++ {
		if got, err := ParseReselect(r.String()); err != nil || got != r {
			t.Errorf("%s: %v, %v", r, got, err)
		}
	}
	for f := FailOverMACNone; f <= FailOverMACFollow; f++ {
		if got, err := ParseFailOverMAC(f.String()); err != nil || got != f {
			t.Errorf("%s: %v, %v", f, got, err)
		}
	}
	for r := LACPSlow; r <= LACPFast; r++ {
		if got, err := ParseLACPRate(r.String()); err != nil || got != r {
			t.Errorf("%s: %v, %v", r, got, err)
		}
	}
	_, err := ParseMode("active_backup")
	if want := `mode "active_backup": not one of balance-rr, active-backup, balance-xor, broadcast, 802.3ad, balance-tlb, balance-alb`; err == nil || err.Error() != want {
		t.Errorf("%v, want %s", err, want)
	}
	if got, want := Mode(0).String()+" "+Mode(10).String(), "unset unknown mode 9"; got != want {
		t.Errorf("%q, want %q", got, want)
	}
	if got, want := PortState(77).String(), "<active,aggregating,in_sync,defaulted>"; got != want {
		t.Errorf("%s, want %s", got, want)
	}
}
