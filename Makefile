# Every target is one line; what needs more is a script in scripts/.

FUZZTIME ?= 30s
BENCH ?=

.DEFAULT_GOAL := help

.PHONY: help
help: ## list the targets
	@sed -n 's/^\([a-z-]*\):[^#]*## /\1\t/p' $(MAKEFILE_LIST) | expand -t 12

.PHONY: build
build: ## both binaries into bin/
	go build -o bin/ ./cmd/poold ./cmd/poolctl

.PHONY: demo
demo: ## poold with its own etcd and three simulated clouds
	go run ./cmd/poold dev

.PHONY: test
test: ## all tests that need only Go; with the race detector where there is a C compiler
	scripts/test ./...

DECISIONS ?= 1000000

.PHONY: sim
sim: ## the simulator until DECISIONS (1000000) were made: hours, or minutes for fewer
	go test ./test/sim -count=1 -timeout 0 -v -run 'TestSimulator$$|TestReplay|TestPlantedBugs' -decisions $(DECISIONS)

.PHONY: day
day: ## a day of 1,000,000 nodes in 20 simulated clouds, in virtual time
	go test ./test/sim -count=1 -timeout 0 -v -run 'TestDay$$' -day 1000000

.PHONY: test-lab
test-lab: build ## against a real OpenStack on this machine (root on Debian; LAB_KEEP=1 leaves it up)
	scripts/test-lab

.PHONY: test-web
test-web: ## the pages in chromium, in both themes and on a phone's screen; POOLD_SHOTS=DIR keeps the pictures
	go test -tags browser -count=1 -timeout 10m ./test/browser ./test/prometheus

.PHONY: test-troubles
test-troubles: ## eight troubles are staged, alert, and are cured as the runbook says: eight minutes; root
	go test -tags browser -count=1 -timeout 60m -v -run TestTroubles ./test/trouble

.PHONY: test-kill
test-kill: build ## real daemons, killed at every moment
	go test -tags chaos -count=1 -timeout 30m ./test/chaos/...

.PHONY: test-handover
test-handover: ## how long a handover takes with fifty launches in flight: a minute
	go test -tags chaos -count=1 -v -run TestHandover ./test/e2e

CHAOS ?= 60s

.PHONY: test-chaos
test-chaos: ## three etcd, three poold, a network of their own, and faults for CHAOS (60s); root
	go test -tags chaos -count=1 -timeout 0 -v -run 'TestPartitions$$' ./test/chaos -for $(CHAOS)

.PHONY: packages
packages: ## Debian and RPM packages, with SBOMs, into dist/
	scripts/packages

.PHONY: test-systemd
test-systemd: ## the packages in a Debian with systemd as init (root on Debian)
	scripts/test-systemd

.PHONY: vulnerabilities
vulnerabilities: ## known ones in what is built; asks a database in the network
	scripts/tool govulncheck ./...

.PHONY: lint
lint: ## linters, formatting, go.mod, shell scripts
	scripts/lint

.PHONY: fmt
fmt: ## format all Go files
	scripts/golangci-lint fmt

.PHONY: tidy
tidy: ## make go.mod say what is imported
	go mod tidy

.PHONY: fuzz
fuzz: ## every fuzz target for FUZZTIME (30s)
	scripts/fuzz $(FUZZTIME)

.PHONY: fuzz-short
fuzz-short: ## every fuzz target for 300 inputs
	scripts/fuzz-short 300

.PHONY: bench
bench: ## the table of docs/benchmarks.md, or the part of it that BENCH names
	go test -C test/bench -tags bench -count=1 -timeout 30m -run 'Test$(BENCH)'

SOAK ?= 30m

.PHONY: soak
soak: ## as many nodes as the machine can do for SOAK (30m): nothing grows, nothing is left
	go test -C test/bench -tags bench -count=1 -timeout 0 -v -run 'TestSoak$$' -soak $(SOAK)

.PHONY: soak-short
soak-short: ## the same for three minutes
	$(MAKE) soak SOAK=3m

.PHONY: bench-web
bench-web: ## the first page of 10,000 nodes in chromium, and what live updates leave in it
	go test -tags browser -count=1 -timeout 30m -run '^$$' -bench . -benchtime 100x ./test/browser

.PHONY: bench-docs
bench-docs: ## measure, and write the table into docs/benchmarks.md
	BENCH_TABLE=$(CURDIR)/docs/benchmarks.md $(MAKE) bench

.PHONY: microbench
microbench: ## Go benchmarks matching BENCH (all)
	go test -run '^$$' -bench '$(or $(BENCH),.)' -benchmem ./...

.PHONY: golden
golden: ## rewrite golden files and generated parts of documents
	scripts/golden

.PHONY: check
check: lint test fuzz-short test-web soak-short test-lab ## everything CI runs

.PHONY: clean
clean: ## delete what build made
	rm -rf bin dist
