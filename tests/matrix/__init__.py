"""The same tests on other Pythons and on other Kafkas: `make matrix`, `make matrix-kafka`."""
