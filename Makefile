# Everything a user or a developer does with this tree. `make test` is all that
# continuous integration runs.

GO      ?= go
PREFIX  ?= /usr/local
VERSION ?= $(shell v=$$(git describe --tags --dirty 2>/dev/null); echo "$${v:-0.1.0}" | sed 's/^v//')
LDFLAGS := -s -w -X vrrpd/internal/build.Version=$(VERSION)

# How long `make fuzz` spends on each target.
FUZZTIME ?= 10s

# The race detector needs cgo and a C compiler.
RACE := $(shell test "$$($(GO) env CGO_ENABLED)" = 1 && command -v "$$($(GO) env CC)" >/dev/null && echo -race)

# All packages but the whole-system tests, which measure and must not be slowed.
UNIT = $$($(GO) list ./... | grep -v /integration)

.PHONY: build test test-unit test-integration nightly vet demo bench install clean fmt fuzz

build:
	CGO_ENABLED=0 $(GO) build -trimpath -ldflags '$(LDFLAGS)' -o bin/ ./cmd/vrrpd ./cmd/vrrpctl

# Each part has its own limit; together they end within 20 minutes. The second
# runs even if the first failed.
test: export VRRPD_REQUIRE_ALL = 1
test:
	scripts/install-test-deps
	@$(MAKE) --no-print-directory vet
	@status=0; \
	$(MAKE) --no-print-directory test-unit || status=1; \
	$(MAKE) --no-print-directory test-integration || status=1; \
	exit $$status

# Four packages at a time, whatever the processors: most of them wait for the
# kernel most of the time.
test-unit:
	$(GO) test -count=1 -p 4 $(RACE) -timeout 8m $(UNIT)
	@# Once more without the race detector: it allocates, and slows the simulator.
	$(GO) test -count=1 -timeout 3m ./vrrp/...

test-integration:
	$(GO) test -count=1 -timeout 14m ./integration/...

# The election in a million simulated networks, on all cores: an hour or so on
# two. FROM=1000001 plays others. A seed that fails is printed with the command
# that plays it again.
SEEDS ?= 1000000
FROM  ?= 1
nightly:
	$(GO) test -count=1 -v -timeout 12h ./vrrp/sim -run '^TestSeeds$$' -seeds $(SEEDS) -from $(FROM)

vet:
	@unformatted=$$(gofmt -l .); test -z "$$unformatted" || { echo "gofmt is needed: $$unformatted"; exit 1; }
	$(GO) vet ./...

demo: build
	scripts/install-test-deps demo
	VRRPD_PROGRAMS=$(CURDIR)/bin $(GO) run ./internal/lab/demo

# Side by side with keepalived; docs/performance.md. BENCH=crash,cpu selects,
# RUNS=20 repeats, PROFILE=full takes longer, RESULTS= is where it writes;
# BENCHFLAGS= goes to the program.
BENCH   ?=
RUNS    ?= 0
PROFILE ?= short
RESULTS ?= bench-results
BENCHFLAGS ?=
bench: build
	scripts/install-test-deps bench
	VRRPD_PROGRAMS=$(CURDIR)/bin $(GO) run ./internal/lab/bench -bench '$(BENCH)' -runs '$(RUNS)' -profile '$(PROFILE)' -o '$(RESULTS)' $(BENCHFLAGS)

# Installing does not build what is there, so that it may be done by a root who
# has no Go.
bin/vrrpd bin/vrrpctl:
	$(MAKE) --no-print-directory build

install: bin/vrrpd bin/vrrpctl
	install -d $(DESTDIR)$(PREFIX)/sbin $(DESTDIR)$(PREFIX)/lib/systemd/system $(DESTDIR)$(PREFIX)/share/doc/vrrpd
	install -m 755 bin/vrrpd bin/vrrpctl $(DESTDIR)$(PREFIX)/sbin
	sed 's|/usr/local/sbin|$(PREFIX)/sbin|' examples/vrrpd.service >$(DESTDIR)$(PREFIX)/lib/systemd/system/vrrpd.service
	cp -r examples $(DESTDIR)$(PREFIX)/share/doc/vrrpd
	install -d $(DESTDIR)$(PREFIX)/share/bash-completion/completions \
		$(DESTDIR)$(PREFIX)/share/zsh/site-functions $(DESTDIR)$(PREFIX)/share/fish/vendor_completions.d
	bin/vrrpctl completion bash >$(DESTDIR)$(PREFIX)/share/bash-completion/completions/vrrpctl
	bin/vrrpctl completion zsh >$(DESTDIR)$(PREFIX)/share/zsh/site-functions/_vrrpctl
	bin/vrrpctl completion fish >$(DESTDIR)$(PREFIX)/share/fish/vendor_completions.d/vrrpctl.fish

fmt:
	gofmt -w .

fuzz:
	@set -e; for pkg in $$($(GO) list ./...); do \
		for target in $$($(GO) test -list '^Fuzz' $$pkg | grep '^Fuzz' || true); do \
			echo "$$pkg $$target"; \
			$(GO) test -run '^$$' -fuzz "^$$target$$" -fuzztime $(FUZZTIME) -fuzzminimizetime 200x $$pkg; \
		done; \
	done

clean:
	rm -rf bin
