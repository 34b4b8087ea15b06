// Command vrrpd is the VRRP daemon: it takes part in the election of the
// virtual routers of its configuration and holds their addresses while it is
// active.
//
//	vrrpd -c /etc/vrrpd.toml            run in the foreground
//	vrrpd -c /etc/vrrpd.toml --check    validate only
//	vrrpd -c /etc/vrrpd.toml release    after an unclean death, for ExecStopPost=
//	vrrpd --version
package main

import (
	"errors"
	"flag"
	"fmt"
	"io"
	"math"
	"os"
	"strings"

	"golang.org/x/sys/unix"

	"vrrpd/healthcheck"
	"vrrpd/internal/build"
	"vrrpd/internal/config"
)

const defaultFile = "/etc/vrrpd.toml"

// commandsName is what vrrpd calls the process that runs commands for it, which
// is itself once more. Nobody else has a use for it.
const commandsName = "vrrpd-commands"

// Exit statuses.
const (
	exitDone   = 0
	exitFailed = 1 // could not run
	exitConfig = 2 // usage or configuration
)

func main() {
	keepDescriptors()
	if os.Args[0] == commandsName {
		if err := healthcheck.Spawned(); err != nil {
			fmt.Fprintln(os.Stderr, commandsName+":", err)
			os.Exit(exitFailed)
		}
		os.Exit(exitDone)
	}
	os.Exit(run(os.Args[1:], os.Stdout, os.Stderr))
}

// keepDescriptors keeps whatever was open when vrrpd was started (a shell's
// file, a socket of its manager) from reaching checks and notification
// commands. Everything opened later is closed on exec anyway.
func keepDescriptors() {
	if unix.CloseRange(3, math.MaxUint32, unix.CLOSE_RANGE_CLOEXEC) == nil {
		return
	}
	for fd := 3; fd < 1024; fd++ { // before Linux 5.11; what is not open does not mind
		unix.CloseOnExec(fd)
	}
}

func run(args []string, stdout, stderr io.Writer) int {
	flags := flag.NewFlagSet("vrrpd", flag.ContinueOnError)
	flags.SetOutput(stderr)
	file := flags.String("c", defaultFile, "configuration `FILE`")
	check := flags.Bool("check", false, "validate the configuration and exit")
	version := flags.Bool("version", false, "print the version and exit")
	flags.Usage = func() {
		fmt.Fprintf(stderr, "usage: vrrpd [-c FILE] [--check | --version | release]\n\n")
		flags.PrintDefaults()
		fmt.Fprintf(stderr, "\nrelease hands over in place of a vrrpd that was killed, and does nothing after a clean stop.\n"+
			"SIGHUP reloads the configuration; SIGTERM hands over and exits, a second one exits at once.\n")
	}
	if err := flags.Parse(args); err != nil {
		if errors.Is(err, flag.ErrHelp) {
			return exitDone
		}
		return exitConfig
	}
	switch {
	case flags.NArg() > 0 && !(flags.NArg() == 1 && flags.Arg(0) == "release"):
		fmt.Fprintf(stderr, "vrrpd: unexpected argument %q; did you mean -c %s?\n", flags.Arg(0), flags.Arg(0))
		return exitConfig
	case *version:
		fmt.Fprintln(stdout, "vrrpd", build.Version)
		return exitDone
	case *check:
		return checkOnly(*file, stderr)
	}
	live := serve
	if flags.NArg() > 0 {
		live = release
	}
	err := live(*file, stderr)
	var bad *configError
	switch {
	case errors.As(err, &bad):
		printProblems(stderr, bad.problems.Errors())
		return exitConfig
	case err != nil:
		fmt.Fprintln(stderr, "vrrpd:", strings.ReplaceAll(err.Error(), "\n", "; "))
		return exitFailed
	}
	return exitDone
}

// A configError is a configuration that cannot be used.
type configError struct{ problems config.Problems }

func (e *configError) Error() string {
	return fmt.Sprintf("the configuration has %d problems", len(e.problems.Errors()))
}

// checkOnly is --check: silent if all is well.
func checkOnly(file string, stderr io.Writer) int {
	env := config.HostEnv()
	env.InterfaceExists, env.BondsUnder = config.InterfaceExists, config.BondsUnder
	plan, problems := config.Load(file, env)
	if plan == nil {
		printProblems(stderr, problems.Errors())
		return exitConfig
	}
	printProblems(stderr, problems)
	return exitDone
}

func printProblems(w io.Writer, problems config.Problems) {
	for _, line := range problems.Strings() {
		fmt.Fprintln(w, line)
	}
}
