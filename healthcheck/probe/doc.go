// Package probe looks at things a virtual router may depend on, without running
// a command: does a port accept connections, does a web server answer as it
// should, is a process alive, has an interface carrier.
//
// A kind of check is a [Spec]: plain data that can be compared, and that makes
// a [Probe] after it was found sound. Making one looks at nothing outside of
// the Spec, so a configuration can be judged on another host.
//
//	p, err := probe.HTTP{URL: "http://127.0.0.1/health"}.New() // err: a [FieldError]
//	...
//	ctx, cancel := context.WithTimeout(ctx, timeout)
//	out := p.Probe(ctx)
//	cancel()
//	fmt.Println(p, out.Passed, out.Detail)
//
// A Probe looks once per call and keeps nothing open in between. It returns
// when its context ends, at the latest. What it reads is bounded, whatever the
// other side sends. Sockets are opened for each run, in the network namespace
// of the process.
//
// Some kinds also tell when it is worth looking before the interval is over: a
// process died, a file was written, a carrier is lost. They are [Watcher]s too:
//
//	if w, ok := p.(probe.Watcher); ok {
//		go func() { err := w.Watch(ctx, wake) … }()
//	}
//
// What a result means (rise, fall, weights) is the business of package
// healthcheck.
package probe
