# Thin on purpose: each target is one script in .ci/ or tests/bench/.
.PHONY: run test bench lint doc check-platforms dist

run: ; @.ci/serve.sh
test: ; @.ci/test.sh
bench: ; @tests/bench/run $(BENCH)
lint: ; @.ci/lint.sh
doc: ; @.ci/doc.sh
check-platforms: ; @.ci/platforms.sh
dist: ; @.ci/dist.sh
