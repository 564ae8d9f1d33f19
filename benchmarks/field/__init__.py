"""What benchmarks against other packages share: environments, data sets, the lines they write."""
