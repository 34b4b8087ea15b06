package healthcheck

import (
	"fmt"
	"strings"
	"testing"
	"time"
)

var epoch = time.Unix(1e9, 0)

// grades spells sequences: ok, warning, failed, unknown.
var grades = map[rune]Grade{'+': Good, 'w': Warned, '-': Bad, '?': Unclear}

// story has a judge hear one result a second and tells the verdict after each:
// u, p, w (passing with a warning), f.
func story(r Rules, results string) string {
	j := NewJudge(r)
	var out strings.Builder
	for i, g := range results {
		before := shown(&j)
		changed := j.Add(grades[g], epoch.Add(time.Duration(i)*time.Second))
		after := shown(&j)
		out.WriteString(after)
		if changed != (before != after) {
			out.WriteString("!")
		}
	}
	return out.String()
}

func shown(j *Judge) string {
	if j.Warning() {
		return "w"
	}
	return j.Verdict().String()[:1]
}

func TestJudge(t *testing.T) {
	tests := []struct {
		name          string
		rules         Rules
		results, want string
	}{
		{"a warning passes", Rules{}, "w", "w"},
		{"a warning comes and goes", Rules{}, "+w+", "pwp"},
		{"it takes fall to begin", Rules{Fall: 2}, "+w+ww+", "ppppwp"},
		{"and rise to end", Rules{Rise: 2}, "++w+w++", "upwwwwp"},
		{"warnings do not fail", Rules{Fall: 2}, "+wwwwww", "ppwwwww"},
		{"failures and warnings together make a warning", Rules{Fall: 2}, "+-w-w", "ppwww"},
		{"failing ends a warning", Rules{}, "w-+", "wfp"},

		{"unknown leaves all as it is", Rules{UnclearGrace: 9 * time.Second}, "+???-??+", "ppppfffp"},
		{"before the first verdict too", Rules{UnclearGrace: 9 * time.Second}, "??+", "uup"},
		{"it is left out of rise and fall", Rules{Rise: 2, Fall: 2, UnclearGrace: 9 * time.Second}, "+?+-?-", "uupppf"},
		{"after the grace it fails at once", Rules{Fall: 5, UnclearGrace: 3 * time.Second}, "+?????", "ppppff"},
		{"even without a verdict", Rules{UnclearGrace: 2 * time.Second}, "???", "uuf"},
		{"then passes count from one", Rules{Rise: 2, UnclearGrace: time.Second}, "++??++", "uppffp"},
		{"one clear run starts the grace again", Rules{UnclearGrace: 2 * time.Second}, "+??+??+", "ppppppp"},
		{"no grace", Rules{}, "+?+", "pfp"},

		{"held failing", Rules{HoldDown: 3 * time.Second}, "+-+++", "pfffp"},
		{"to the second", Rules{HoldDown: 2 * time.Second}, "-++", "ffp"},
		{"failing anew starts it again", Rules{HoldDown: 3 * time.Second}, "-+-++++", "fffffpp"},
		{"more failures in a row do not", Rules{HoldDown: 2 * time.Second}, "---+", "fffp"},
		{"below fall it is no failing anew", Rules{Fall: 2, HoldDown: 3 * time.Second}, "--+-+", "ufffp"},
		{"but no run to end the hold with", Rules{Fall: 2, HoldDown: 3 * time.Second}, "--++-+-", "uffffpp"},
		{"nor are too few passes after it", Rules{Rise: 2, Fall: 2, HoldDown: 3 * time.Second}, "--++-+++", "ufffffpp"},
		{"unknown after it ends none either", Rules{Fall: 2, HoldDown: 3 * time.Second, UnclearGrace: 9 * time.Second}, "--+-??+", "ufffffp"},
		{"rise still counts", Rules{Rise: 3, HoldDown: 2 * time.Second}, "-+++", "fffp"},
		{"a flapping check stays down", Rules{HoldDown: 3 * time.Second}, "+" + strings.Repeat("-+", 8), "p" + strings.Repeat("ff", 8)},
		{"unknown ends no hold", Rules{HoldDown: time.Second, UnclearGrace: 9 * time.Second}, "-??+", "fffp"},
		{"a hold that is over ends with any run", Rules{HoldDown: 3 * time.Second, UnclearGrace: 9 * time.Second}, "-+??", "fffp"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			if got := story(tt.rules, tt.results); got != tt.want {
				t.Errorf("%s: got %s, want %s", tt.results, got, tt.want)
			}
		})
	}
}

// TestJudgeAgreesWithItsDefinitionOnEverySequence compares the judge with the
// rules put as plainly as possible, for every sequence up to length 8 of passes
// and failures, and up to length 6 of all grades.
func TestJudgeAgreesWithItsDefinitionOnEverySequence(t *testing.T) {
	for rise := 1; rise <= 3; rise++ {
		for fall := 1; fall <= 3; fall++ {
			for hold := 0; hold <= 4; hold += 2 {
				r := Rules{Rise: rise, Fall: fall, HoldDown: time.Duration(hold) * time.Second, UnclearGrace: 2 * time.Second}
				for _, alphabet := range []struct {
					letters string
					length  int
				}{{"+-", 8}, {"+w-?", 6}} {
					everySequence(alphabet.letters, alphabet.length, func(results string) {
						if got, want := story(r, results), definition(r, results); got != want {
							t.Fatalf("%+v, %s: got %s, want %s", r, results, got, want)
						}
					})
				}
			}
		}
	}
}

func everySequence(letters string, length int, do func(string)) {
	n := 1
	for range length {
		n *= len(letters)
	}
	for i := range n {
		b := make([]byte, length)
		for k, rest := 0, i; k < length; k++ {
			b[k], rest = letters[rest%len(letters)], rest/len(letters)
		}
		do(string(b))
	}
}

// definition is what story should say: each verdict from all results before.
func definition(r Rules, results string) string {
	var out strings.Builder
	raw, failed := "u", -1 // without hold-down, and when it last became f
	for i := range results {
		now, warned, risen := counted(r, results[:i+1])
		if now == "f" && raw != "f" {
			failed = i
		}
		raw = now
		switch {
		case raw == "p" && failed >= 0 && time.Duration(i-failed)*time.Second < r.HoldDown,
			raw == "p" && strings.HasSuffix(out.String(), "f") && !risen:
			out.WriteString("f")
		case raw == "p" && warned:
			out.WriteString("w")
		default:
			out.WriteString(raw)
		}
	}
	return out.String()
}

// counted is the verdict by rise and fall and the grace of unknown results, and
// whether the last rise results that count are passes. It
// rewrites the results to passes and failures first: an unknown one is left out
// within the grace, and is as good as fall failures beyond.
func counted(r Rules, results string) (verdict string, warned, risen bool) {
	var passes, oks []bool
	unclear := 0
	for _, g := range results {
		if g != '?' {
			unclear = 0
			passes, oks = append(passes, g != '-'), append(oks, g == '+')
			continue
		}
		if unclear++; time.Duration(unclear-1)*time.Second >= r.UnclearGrace {
			for range r.Fall {
				passes, oks = append(passes, false), append(oks, false)
			}
		}
	}
	return verdictOf(passes, r.Rise, r.Fall).String()[:1], verdictOf(oks, r.Rise, r.Fall) == Failing, allLast(passes, r.Rise, true)
}

func TestJudgeHeld(t *testing.T) {
	j := NewJudge(Rules{HoldDown: 10 * time.Second})
	j.Add(Bad, epoch)
	if !j.Held().IsZero() {
		t.Error("held while it fails by itself")
	}
	j.Add(Good, epoch.Add(time.Second))
	if want := epoch.Add(10 * time.Second); !j.Held().Equal(want) {
		t.Errorf("held until %v, want %v", j.Held(), want)
	}
	j.Add(Good, epoch.Add(10*time.Second))
	if !j.Held().IsZero() || j.Verdict() != Passing {
		t.Errorf("still %v, until %v", j.Verdict(), j.Held())
	}
}

func TestContract(t *testing.T) {
	for _, tt := range []struct {
		contract Contract
		out      Outcome
		want     Grade
	}{
		{ByStatus, Outcome{Ending: Exited}, Good},
		{ByStatus, Outcome{Ending: Exited, Status: 1}, Bad},
		{ByStatus, Outcome{Ending: Exited, Status: 3}, Bad},
		{ByStatus, Outcome{Ending: TimedOut}, Bad},
		{Nagios, Outcome{Ending: Exited}, Good},
		{Nagios, Outcome{Ending: Exited, Status: 1}, Warned},
		{Nagios, Outcome{Ending: Exited, Status: 2}, Bad},
		{Nagios, Outcome{Ending: Exited, Status: 3}, Unclear},
		{Nagios, Outcome{Ending: Exited, Status: 4}, Bad},
		{Nagios, Outcome{Ending: Exited, Status: 127}, Bad},
		{Nagios, Outcome{Ending: Signalled, Signal: 11}, Bad},
		{Nagios, Outcome{Ending: TimedOut}, Bad},
		{Nagios, Outcome{Ending: NotStarted}, Bad},
	} {
		if got := tt.contract.grade(tt.out); got != tt.want {
			t.Errorf("contract %d, %s: %v, want %v", tt.contract, tt.out.Detail(), got, tt.want)
		}
	}
}

func TestSpread(t *testing.T) {
	const count, interval = 500, time.Second
	firsts, offsets := make([]int, 10), make([]int, 10)
	for i := range count {
		name := fmt.Sprintf("check-%d", i)
		first, offset := Spread(name, interval, count)
		again, _ := Spread(name, interval, count)
		if first < 0 || first >= interval || offset < 0 || offset >= interval || first != again {
			t.Fatalf("%s: %v (again %v), %v", name, first, again, offset)
		}
		firsts[first*10/interval]++
		offsets[offset*10/interval]++
	}
	for i := range firsts {
		if firsts[i] < 25 || firsts[i] > 75 || offsets[i] < 25 || offsets[i] > 75 {
			t.Fatalf("first runs %v, later runs %v: not spread", firsts, offsets)
		}
	}
	if first, offset := Spread("alone", time.Minute, 1); first != 0 || offset != 0 {
		t.Errorf("a check alone waits %v, %v", first, offset)
	}
	if first, _ := Spread("x", time.Minute, 3); first > 6*time.Millisecond {
		t.Errorf("of three, the first run waits %v", first)
	}
	if first, _ := Spread("x", 10*time.Millisecond, 500); first >= 10*time.Millisecond {
		t.Errorf("the first run waits %v, longer than the interval", first)
	}
}
