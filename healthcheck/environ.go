package healthcheck

import (
	"cmp"
	"strings"
	"sync"
)

// searchPath is where commands, and the interpreters that env(1) starts, are
// looked for.
const searchPath = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"

// self is looked up once: a daemon does not change its identity.
var self = sync.OnceValue(ownUser)

// Environ returns the clean environment of a command: nothing of this
// process's own (sockets of the service manager, LD_PRELOAD, a locale) except
// what is named here. An entry of extra replaces one of the same name, since
// with two of a kind it is up to the program which one it sees.
func Environ(runAs *Credential, extra []string) []string {
	if runAs == nil {
		runAs = self()
	}
	login := cmp.Or(runAs.Login, runAs.User)
	all := append([]string{
		"PATH=" + searchPath,
		"HOME=" + runAs.Home,
		"USER=" + login,
		"LOGNAME=" + login,
		"LANG=C",
	}, extra...)

	env := make([]string, 0, len(all))
	at := make(map[string]int, len(all))
	for _, e := range all {
		name, _, _ := strings.Cut(e, "=")
		if i, ok := at[name]; ok {
			env[i] = e
			continue
		}
		at[name] = len(env)
		env = append(env, e)
	}
	return env
}
