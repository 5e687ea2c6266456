"""What ``benchmarks.guidance`` measures, one module to a table."""
