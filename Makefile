# ngx_http_eventbridge_module
#
#   make             build/ngx_http_eventbridge_module.so, for Debian's nginx
#   make run         start nginx with conf.examples/quickstart.conf
#   make stop        stop it
#   make test        the tests; TESTS= and PROVE_FLAGS= choose
#   make check       warnings, static analysis, house rules
#   make fuzz        each fuzz target for FUZZ_SECONDS
#   make test-asan   the tests under AddressSanitizer and UBSan, twice
#   make valgrind    the tests under Valgrind
#   make bench       against plain proxying and Lua; BENCH_FLAGS=
#   make bench-patterns   what patterns cost, with 5 rules and with 1,000
#   make deb         a Debian package
#   make deps        install what a build needs; the others do it themselves
#   make clean       remove build/, which is all that these ever write
#
# With NGINX_SRC=DIR, the module is built for that nginx source tree, and
# "make nginx NGINX_SRC=DIR" builds its nginx; both land in build/src-NAME.

SHELL = /bin/bash

MODULE = ngx_http_eventbridge_module.so

CC_OPT = -O2 -fstack-protector-strong -D_FORTIFY_SOURCE=2
LD_OPT = -Wl,-z,relro -Wl,-z,now

# the features of nginx that the tests use, for trees without conf_flags
NGINX_FLAGS = --with-compat --with-debug --with-threads --with-pcre-jit \
              --with-http_ssl_module --with-http_v2_module \
              --with-http_realip_module --with-http_auth_request_module \
              --with-http_stub_status_module --with-http_slice_module \
              --with-http_dav_module
export NGINX_FLAGS

TESTS = t/*.t
PROVE_FLAGS =
FUZZ_SECONDS = 30


# where nginx is, and where the results go

SRC = $(or $(NGINX_SRC),/usr/share/nginx/src)
OUT = $(if $(NGINX_SRC),build/src-$(notdir $(abspath $(NGINX_SRC))),build)

# as many compilers as processors, unless make -j says otherwise
JOBS = $(shell nproc)
PARALLEL = $(if $(filter -j%,$(MAKEFLAGS)),,-j$(JOBS))

NGX_MAKE = $(MAKE) --no-print-directory $(PARALLEL) \
           -C $(OUT)/tree -f ../objs/Makefile

PROVE = prove $(PROVE_FLAGS) -I t/lib


.PHONY: all module nginx
all: module

module: $(OUT)/objs/Makefile
	$(NGX_MAKE) modules
	@cmp -s $(OUT)/objs/$(MODULE) $(OUT)/$(MODULE) \
	    || install -m 755 $(OUT)/objs/$(MODULE) $(OUT)/$(MODULE)

nginx: $(OUT)/objs/Makefile
	$(NGX_MAKE) binary
	@cmp -s $(OUT)/objs/nginx $(OUT)/nginx \
	    || install -m 755 $(OUT)/objs/nginx $(OUT)/nginx

$(OUT)/objs/Makefile: config src/symbols.map t/static/configure.sh \
                      $(SRC)/src/core/nginx.h $(wildcard $(SRC)/conf_flags) \
                      $(OUT)/options
	t/static/configure.sh $(SRC) $(OUT) "$(CC_OPT)" "$(LD_OPT)"

# other options of make are another configuration
$(OUT)/options: FORCE
	@mkdir -p $(OUT)
	@echo '$(CC) $(CC_OPT) $(LD_OPT) $(SRC) $(NGINX_FLAGS)' > $@.new
	@cmp -s $@.new $@ && rm $@.new || mv $@.new $@

# a header of nginx comes with nginx-dev, which deps installs
$(SRC)/src/core/nginx.h:
	@test -f $@ || { echo "$@ is missing: make deps" >&2; exit 1; }

FORCE:


# running

.PHONY: deps deps-test deps-check deps-asan deps-valgrind deps-bench deps-deb
deps:
	@t/static/deps.sh run

deps-test deps-check deps-asan deps-valgrind deps-bench deps-deb: deps-%:
	@t/static/deps.sh $*

# a second make, so that it sees what deps has installed

.PHONY: run stop
run: deps
	+@$(MAKE) --no-print-directory module
	@t/static/run.sh start $(OUT)/$(MODULE)

stop:
	@t/static/run.sh stop


# tests

.PHONY: test unit prove fuzz test-asan valgrind
test: deps-test
	+@$(MAKE) --no-print-directory module unit $(if $(NGINX_SRC),nginx)
	+@$(MAKE) --no-print-directory prove

prove:
	EB_MODULE="$(CURDIR)/$(OUT)/$(MODULE)" \
	$(if $(NGINX_SRC),EB_NGINX="$(CURDIR)/$(OUT)/nginx") \
	$(PROVE) $(TESTS)

# t/01_unit.t and t/02_fuzz.t run what this builds
unit: build/objs/Makefile
	@$(MAKE) --no-print-directory $(PARALLEL) -f t/unit/Makefile unit \
	    $(if $(shell which clang),fuzz)

fuzz: deps-test
	+@$(MAKE) --no-print-directory build/objs/Makefile
	+@$(MAKE) --no-print-directory $(PARALLEL) -f t/unit/Makefile fuzz
	t/static/fuzz.sh -max_total_time=$(FUZZ_SECONDS)

# First the module alone is instrumented, in Debian's own nginx.  There a
# pool hides what goes beyond an allocation, so that the second nginx is
# Debian's source with a malloc() for each of them; that one without UBSan,
# for nginx itself stores to unaligned addresses and copies 0 bytes from NULL.

ASAN_OPT = -O1 -fno-omit-frame-pointer -fsanitize=address,undefined
PALLOC_OPT = -O1 -fno-omit-frame-pointer -fsanitize=address \
             -DNGX_DEBUG_PALLOC=1
ASAN_LIBS = $(foreach lib,libasan libubsan,$(shell \
                realpath "$$($(CC) -print-file-name=$(lib).so)"))

# what runs no nginx with the module
NGINX_TESTS = $(filter-out t/0%,$(wildcard $(TESTS)))

test-asan: deps-asan
	+@$(MAKE) --no-print-directory module \
	    OUT=build/asan CC_OPT="$(ASAN_OPT)" LD_OPT="$(ASAN_OPT)"
	EB_MODULE="$(CURDIR)/build/asan/$(MODULE)" EB_PRELOAD="$(ASAN_LIBS)" \
	$(PROVE) $(NGINX_TESTS)
	t/static/debian-source.sh build/debian
	+@$(MAKE) --no-print-directory nginx module \
	    NGINX_SRC=build/debian/nginx OUT=build/palloc \
	    CC_OPT="$(PALLOC_OPT)" LD_OPT="-fsanitize=address"
	EB_NGINX="$(CURDIR)/build/palloc/nginx" EB_TIMEOUT_SCALE=4 \
	EB_MODULE="$(CURDIR)/build/palloc/$(MODULE)" \
	ASAN_OPTIONS=detect_leaks=0 $(PROVE) $(NGINX_TESTS)

valgrind: deps-valgrind
	+@$(MAKE) --no-print-directory module
	EB_MODULE="$(CURDIR)/$(OUT)/$(MODULE)" EB_VALGRIND=1 \
	$(PROVE) $(NGINX_TESTS)


# bench/run.pl --help says what BENCH_FLAGS may be; nothing else should run

.PHONY: bench bench-patterns
bench: deps-bench
	+@$(MAKE) --no-print-directory module
	perl bench/run.pl --module "$(CURDIR)/$(OUT)/$(MODULE)" $(BENCH_FLAGS)

# the pure layers only: matching of events that are parsed already

PATTERN_CLASSES = exact prefix suffix equals-ignore-case wildcard \
                  anything-but numeric complex-arrays
PATTERN_EVENTS = 200000

bench-patterns: deps
	+@$(MAKE) --no-print-directory build/objs/Makefile
	+@$(MAKE) --no-print-directory $(PARALLEL) -f t/unit/Makefile bench
	@mkdir -p build/bench/patterns.data
	perl bench/patterns.pl build/bench/patterns.data $(PATTERN_EVENTS)
	build/bench/patterns build/bench/patterns.data $(PATTERN_CLASSES)


# checks; t/static/Makefile says what is looked for, and what is not

.PHONY: check
check: deps-check
	+@$(MAKE) --no-print-directory module
	+@$(MAKE) --no-print-directory $(PARALLEL) -k -f t/static/Makefile
	EB_MODULE="$(CURDIR)/$(OUT)/$(MODULE)" $(PROVE) t/00_static.t
	@echo "make check: nothing found"


# packaging and cleaning

.PHONY: deb clean
deb: deps-deb
	t/static/deb.sh build/deb

clean: stop
	rm -rf build
