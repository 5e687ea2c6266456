"""The tests. They mirror the packages; ``contracts``, ``congruence`` and ``integration`` cut across them."""
