package healthcheck

import (
	"context"
	"fmt"
	"net"
	"os"
	"os/signal"
	"path/filepath"
	"runtime"
	"runtime/debug"
	"sync"
	"syscall"
	"unsafe"

	"golang.org/x/sys/unix"
)

// spawnFD is the descriptor that the process of a Spawner finds its socket at.
const spawnFD = 3

// spawnMemory is when the garbage collector of that process begins to work, in
// bytes: it has little to do otherwise, and cannot while something is forked.
const spawnMemory = 64 << 20

// Spawned is the main function of the process that a [Spawner] starts. It runs
// what it is asked to until the other side of its socket is closed, for whatever
// reason, and kills what runs then.
func Spawned() error {
	// For people who look; it may be refused without harm.
	_ = os.WriteFile("/proc/self/comm", []byte(filepath.Base(os.Args[0])), 0)
	// Who stops the daemon may signal its whole group, or its whole cgroup. The
	// daemon decides when this process ends. Taken, not ignored: what is ignored
	// stays so in commands.
	signal.Notify(make(chan os.Signal, 1), syscall.SIGTERM, syscall.SIGINT, syscall.SIGHUP, syscall.SIGPIPE)
	// It fails where the kernel's sets of signals are longer (MIPS), and then a
	// command finds ignored what vrrpd was started with ignored.
	for sig := syscall.Signal(32); sig <= 34; sig++ {
		_ = byDefault(sig)
	}
	// Each processor of the scheduler may be taken by a fork that takes long.
	runtime.GOMAXPROCS(max(8, 4*runtime.NumCPU()))
	debug.SetGCPercent(-1)
	debug.SetMemoryLimit(spawnMemory)
	// A daemon that the kernel shall not kill for want of memory is one thing,
	// commands of whoever else are another. It fails where it is not needed.
	_ = os.WriteFile("/proc/self/oom_score_adj", []byte("0"), 0)

	f := os.NewFile(spawnFD, "spawner")
	syscall.CloseOnExec(spawnFD)
	conn, err := net.FileConn(f)
	f.Close()
	if err != nil {
		return fmt.Errorf("the socket of the process that started this one: %w", err)
	}
	pair, ok := conn.(*net.UnixConn)
	if !ok {
		return fmt.Errorf("descriptor %d is no unix socket", spawnFD)
	}
	// Orphans of commands come here, and not to a daemon that is the first
	// process of a container.
	_ = unix.Prctl(unix.PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	go Reap(ctx)
	serveWire(newWire(pair), NewLocal())
	return nil
}

// byDefault undoes that a signal is ignored, which commands would inherit. The
// Go runtime sees to it for all but those which the C library has for itself,
// 32 to 34: these it leaves as it found them.
func byDefault(sig syscall.Signal) error {
	var action [64]byte // struct sigaction, longer than any: all zero is SIG_DFL
	const setSize = 8   // of the kernel's sigset_t
	_, _, errno := unix.RawSyscall6(unix.SYS_RT_SIGACTION, uintptr(sig), uintptr(unsafe.Pointer(&action)), 0, setSize, 0, 0)
	if errno != 0 {
		return fmt.Errorf("have %v do what it does by default: %w", sig, errno)
	}
	return nil
}

// serveWire executes orders until the connection ends.
func serveWire(w *wire, local Executor) {
	ctx, cancel := context.WithCancel(context.Background())
	var running sync.WaitGroup
	defer func() {
		cancel()
		running.Wait()
		_ = local.Close() // nobody is left to be told
		w.conn.Close()
	}()
	tell := func(r report) {
		r.Loose = ""
		if err := local.Confinement(); err != nil {
			r.Loose = err.Error()
		}
		if w.send(r) != nil {
			_ = w.conn.CloseRead() // which ends the reading below
		}
	}
	tell(report{Hello: true})
	var mu sync.Mutex
	ends := map[uint64]context.CancelFunc{}
	for {
		var o order
		if w.in.Decode(&o) != nil {
			return
		}
		switch {
		case o.Run != nil:
			each, end := context.WithCancel(ctx)
			mu.Lock()
			ends[o.ID] = end
			mu.Unlock()
			running.Go(func() {
				defer func() {
					mu.Lock()
					delete(ends, o.ID)
					mu.Unlock()
					end()
				}()
				spec := o.Run.spec()
				spec.Overdue = func(out Outcome) { tell(report{ID: o.ID, Overdue: true, Outcome: out.wire()}) }
				out := local.Execute(each, spec)
				tell(report{ID: o.ID, Outcome: out.wire()})
				if out.Gone != nil {
					go func() { // it may take for ever
						<-out.Gone
						tell(report{ID: o.ID, Gone: true})
					}()
				}
			})
		case o.Cancel:
			mu.Lock()
			if end := ends[o.ID]; end != nil {
				end()
			}
			mu.Unlock()
		case o.Release != "":
			running.Go(func() { local.Release(o.Release) })
		}
	}
}
